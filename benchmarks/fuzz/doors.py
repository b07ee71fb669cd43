"""The doors: what each is sent when nothing is wrong, and how it takes what is.

Every door gives the outcome of one attempt: ``"sound"``, a code, or an HTTP status with one. What
must never happen is an outcome that starts with `FAILED`.
"""

import base64
import contextlib
import hashlib
import json
import logging
import shutil
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image

from benchmarks.fuzz.mutations import mutate, mutate_json, repair_png
from wscxr.errors import BundleError, DeviceUnavailable, ImageError
from wscxr.imaging import Assumed, DicomRules, read_radiograph

Attempt = Callable[[np.random.Generator], str]

FAILED = "FAILED"

DOORS = ("png", "jpeg", "dicom", "bundle", "multipart", "oip")

RULES = DicomRules(assume=Assumed(modality="CR", body_part="CHEST", view="PA"))
"""With these every file gets as far as its pixels."""

_HEADER = {"png": 64, "jpeg": 200, "dicom": 1500}
"""Bytes that hold most of a file's header."""

_SUFFIXES = {"png": {".png"}, "jpeg": {".jpg", ".jpeg"}, "dicom": {".dcm"}}
_PATIENCE_S = 5
_FILES = 40
"""Most files of a folder that are mutated."""


@contextlib.contextmanager
def opened(door: str, scratch: Path, data: Path | None = None) -> Iterator[Attempt]:
    """Open a door.

    Parameters
    ----------
    door
        One of `DOORS`.
    scratch
        A folder of its own for what it has to write; must exist.
    data
        A folder of real files, which are mutated beside the made ones, where the door takes files.
    """
    match door:
        case "bundle":
            yield _bundle(scratch)
        case "multipart" | "oip":
            with _service(scratch) as port:
                make = _multipart() if door == "multipart" else _oip()
                yield lambda rng: _request(port, make(rng))
        case _:
            yield _file(door, data)


def _file(door: str, data: Path | None) -> Attempt:
    originals = {"png": _pngs, "jpeg": _jpegs, "dicom": _dicoms}[door]()
    if data is not None:
        found = (path for path in sorted(data.rglob("*")) if path.suffix in _SUFFIXES[door])
        originals += [path.read_bytes() for path, _ in zip(found, range(_FILES), strict=False)]

    def attempt(rng: np.random.Generator) -> str:
        original = _one_of(originals, rng)
        # Headers alone every other time: what follows them is compressed, and soon no sense at all.
        mutated = mutate(original, rng, head=3000 if rng.random() < 0.5 else _HEADER[door])
        if door == "png" and rng.random() < 0.8:
            mutated = repair_png(mutated)
        return read(mutated)

    return attempt


def read(data: bytes) -> str:
    """The outcome of reading one file as a radiograph."""
    try:
        read_radiograph(data, rules=RULES)
    except ImageError as error:
        return error.code
    return "sound"


def _picture() -> Image.Image:
    from tests.service.pictures import grey

    return grey(160, 192)


def _pngs() -> list[bytes]:
    from tests.helpers import encode
    from tests.service import pictures

    made = [encode(_picture().convert(mode)) for mode in ("L", "P", "RGB", "RGBA", "LA", "1")]
    return [*made, pictures.sixteen_bit(), pictures.with_alpha()]


def _jpegs() -> list[bytes]:
    from tests.helpers import encode

    made = [encode(_picture().convert(mode), "JPEG") for mode in ("L", "RGB", "CMYK")]
    options: list[dict[str, Any]] = [
        {"progressive": True},
        {"optimize": True},
        {"restart_marker_rows": 1},
        {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0"},
    ]
    return [*made, *(encode(_picture(), "JPEG", **each) for each in options)]


def _dicoms() -> list[bytes]:
    from pydicom.uid import (
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        ImplicitVRLittleEndian,
        JPEG2000Lossless,
        JPEGLSLossless,
        RLELossless,
    )

    from tests.dicom_files import dataset, picture, without_meta, written

    made = [written(dataset()), written(dataset(picture(8), bits=8))]
    native = (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    made += [written(dataset(), syntax) for syntax in native]
    made += [without_meta(dataset(), implicit=implicit) for implicit in (True, False)]
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        compressed = dataset()
        compressed.compress(syntax)
        made.append(written(compressed, syntax))
    return made


def _bundle(scratch: Path) -> Attempt:
    from tests.helpers import write_tiny_bundle
    from wscxr.bundle import schema
    from wscxr.bundle.bundle import Bundle

    sound, place = scratch / "sound" / "1", scratch / "mutated" / "1"
    write_tiny_bundle(sound)
    names = sorted(path.name for path in sound.iterdir())

    def attempt(rng: np.random.Generator) -> str:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(sound, place)
        name = "bundle.json" if rng.random() < 0.5 else _one_of(names, rng)
        file = place / name
        is_json = name.endswith(".json") and rng.random() < 0.8
        content = file.read_bytes()
        is_object = is_json and isinstance(json.loads(content), dict)
        file.write_bytes((mutate_json if is_object else mutate)(content, rng))
        if rng.random() < 0.8:
            _forge(place)
        try:
            Bundle.load(place, "cpu")
        except (BundleError, DeviceUnavailable) as error:
            return error.code
        return "sound"

    def _forge(path: Path) -> None:
        """Make the hashes right again, as somebody would who wants the bundle to load."""
        manifest = path / "bundle.json"
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, OSError):
            document = json.loads(manifest.read_bytes())
            for each in document["files"]:
                document["files"][each] = hashlib.sha256((path / each).read_bytes()).hexdigest()
            document["sha256"] = schema.digest(document)
            manifest.write_text(json.dumps(document))

    return attempt


@contextlib.contextmanager
def _service(scratch: Path) -> Iterator[int]:
    """A service in this process, behind a socket; its port."""
    from service.app import create_app, server_config
    from tests.helpers import write_tiny_bundle
    from tests.service.serving import in_thread, make_settings, wait_for

    write_tiny_bundle(scratch / "store" / "tiny" / "1")
    # A body that stops in its middle is given up soon.
    settings = make_settings(
        scratch / "store",
        port=0,
        max_wait_ms=0,
        request_timeout_s=2,
        header_timeout_s=1,
        max_connections=100,
    )
    app = create_app(settings, stop=lambda: None)
    with in_thread(uvicorn.Server(server_config(app, settings))) as port:
        ready = b"GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        wait_for(lambda: _request(port, ready).startswith("200"), every_s=0.1)
        yield port


def _multipart() -> Callable[[np.random.Generator], bytes]:
    from tests.dicom_files import dataset, written
    from tests.service import pictures

    files = [pictures.png(), _jpegs()[0], written(dataset()), b"no picture"]
    targets = [
        ("/v1/predict", "file"),
        ("/v1/predict?map=base64&style=heat", "file"),
        ("/v1/predict?map=url&model=tiny", "file"),
        ("/v1/predict/map?style=raw16", "file"),
        ("/v1/predict/dicom?only=sc", "file"),
        ("/v1/predict/batch", "files"),
    ]

    def make(rng: np.random.Generator) -> bytes:
        target, field = _one_of(targets, rng)
        parts = [_part(field, _one_of(files, rng)) for _ in range(int(rng.geometric(0.6)))]
        body = b"".join(parts) + b"--frontier--\r\n"
        return _mutated_request(
            f"POST {target} HTTP/1.1", b"multipart/form-data; boundary=frontier", body, rng
        )

    return make


def _part(field: str, content: bytes) -> bytes:
    head = f'--frontier\r\nContent-Disposition: form-data; name="{field}"; filename="x.png"\r\n'
    return head.encode() + b"Content-Type: image/png\r\n\r\n" + content + b"\r\n"


def _oip() -> Callable[[np.random.Generator], bytes]:
    from tests.service import pictures

    png = pictures.png()

    def make(rng: np.random.Generator) -> bytes:
        count = int(rng.geometric(0.6))
        tensor: dict[str, Any] = {"name": "image", "shape": [count], "datatype": "BYTES"}
        outputs = [{"name": name} for name in ("score", "decision", "anomaly_map", "overlay")]
        request = {"id": "1", "inputs": [tensor], "outputs": outputs[: int(rng.integers(5))]}
        tail, extra = b"", b""
        if rng.random() < 0.5:
            tensor["data"] = [base64.b64encode(png).decode()] * count
        else:
            tail = (struct.pack("<I", len(png)) + png) * count
            tensor["parameters"] = {"binary_data_size": len(tail)}
        head = json.dumps(request).encode()
        if rng.random() < 0.7:
            head = mutate_json(head, rng)
        if tail:
            extra = f"\r\nInference-Header-Content-Length: {len(head)}".encode()
        path = _one_of(["tiny/infer", "tiny/versions/1/infer"], rng)
        start = f"POST /v2/models/{path} HTTP/1.1"
        return _mutated_request(start, b"application/json" + extra, head + tail, rng)

    return make


def _mutated_request(start: str, media: bytes, body: bytes, rng: np.random.Generator) -> bytes:
    """A whole request, of which the body, the head, both or neither is damaged."""
    if rng.random() < 0.6:
        body = mutate(body, rng, head=len(body))
    head = f"{start}\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}".encode()
    head += b"\r\nContent-Type: " + media + b"\r\n\r\n"
    return (mutate(head, rng) if rng.random() < 0.3 else head) + body


def _request(port: int, request: bytes) -> str:
    """Send bytes, and no more; the outcome: status and code of the first answer."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), _PATIENCE_S) as connection:
        with contextlib.suppress(ConnectionError):
            # Refused before all of it was sent, an answer may be there all the same.
            connection.sendall(request)
        # Where the head announces more than there is, the service waits for it.
        with contextlib.suppress(ConnectionError, TimeoutError):
            while received := connection.recv(65536):
                answer += received
    return _outcome(answer)


def _outcome(answer: bytes) -> str:
    if not answer:
        return "no answer"
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1].decode() if head.startswith(b"HTTP/1.1 ") else FAILED
    if status in ("500", FAILED):
        return f"{FAILED}: {head[:100]!r}"
    if status < "400":
        return status
    try:
        problem = json.loads(body)
        return f"{status} {problem.get('code') or problem['error'].partition(':')[0]}"
    except (ValueError, KeyError, AttributeError):
        # A HEAD request has a status and no body.
        return f"{status} without a problem"


def _one_of(items: Sequence[Any], rng: np.random.Generator) -> Any:
    return items[int(rng.integers(len(items)))]


class LoggedErrors(logging.Handler):
    """Remembers what is logged as an error: an attempt may fail where its answer does not say."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Remember one record."""
        cause = record.exc_info[1] if record.exc_info else None
        self.found.append(f"{record.name}: {record.msg} {type(cause).__name__} {cause}"[:300])

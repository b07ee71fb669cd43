"""A stand-in for the scoring service: real HTTP, results at once, faults on demand; and studies."""

import hashlib
import io
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pydicom
import uvicorn
from fastapi import FastAPI, Request, UploadFile
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid
from starlette.responses import JSONResponse, Response

from service.multipart import RELATED, related
from tests.dicom_files import dataset, picture, written
from tests.service.serving import free_port, wait_for


def study(seed: int, **attributes: Any) -> tuple[str, bytes]:
    """SOP Instance UID and file of a study with one radiograph, of today unless given."""
    made = dataset(seed=seed, **{"StudyDate": f"{datetime.now(UTC):%Y%m%d}", **attributes})
    return str(made.SOPInstanceUID), written(made)


def studies(count: int) -> dict[str, bytes]:
    return dict(study(seed) for seed in range(count))


def with_results(sources: list[str]) -> list[str]:
    """What the archive must hold when all of these are done: each, and one result of each."""
    return sorted([*sources, *map(result_uid, sources)])


def result_uid(sop: str) -> str:
    return str(generate_uid("2.25.", entropy_srcs=[sop, "result"]))


def result_of(data: bytes) -> bytes:
    """What the stand-in answers: a secondary capture with fixed UIDs."""
    source = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    result = Dataset()
    result.file_meta = pydicom.FileMetaDataset()
    result.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    result.SOPClassUID = SecondaryCaptureImageStorage
    result.SOPInstanceUID = result_uid(source.SOPInstanceUID)
    result.StudyInstanceUID = source.StudyInstanceUID
    result.SeriesInstanceUID = generate_uid(entropy_srcs=[source.SOPInstanceUID, "series"])
    result.PatientName, result.PatientID = source.PatientName, source.PatientID
    result.StudyDate, result.StudyTime = source.StudyDate, source.StudyTime
    result.Modality, result.ConversionType = "OT", "WSD"
    result.Manufacturer, result.ManufacturerModelName = "wscxr project", "wscxr"
    result.SamplesPerPixel, result.PhotometricInterpretation = 1, "MONOCHROME2"
    result.BitsAllocated, result.BitsStored, result.HighBit = 8, 8, 7
    result.PixelRepresentation = 0
    pixels = picture(bits=8, rows=32, columns=32)
    result.Rows, result.Columns = pixels.shape
    result.PixelData = pixels.astype("<u1").tobytes()
    result["PixelData"].VR = "OB"
    return written(result)


class Scorer:
    """One server; it may be stopped and started again on the same port.

    ``pause_s`` slows every answer; ``calls`` holds the digest of every file sent; ``busy`` has it
    answer 503. Each answer has a request id that follows from the file.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.port = free_port()
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._certificate = certificate
        self.pause_s = 0.0
        self.busy = False
        self.broken = False
        self.calls: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._app = FastAPI()
        self._app.post("/v1/predict/dicom")(self._identified)
        self._app.get("/health/ready")(self._ready)

    def start(self) -> None:
        config = uvicorn.Config(
            self._app,
            port=self.port,
            log_config=None,
            access_log=False,
            ssl_certfile=self._certificate,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        wait_for(lambda: self._server.started)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)

    def _ready(self) -> dict[str, str]:
        return {"status": "ready"}

    @staticmethod
    def request_id(data: bytes) -> str:
        return str(UUID(bytes=hashlib.sha256(data).digest()[:16]))

    def _identified(self, request: Request, file: UploadFile) -> Response:
        data = file.file.read()
        response = self._predict(request, data)
        response.headers["X-Request-ID"] = self.request_id(data)
        return response

    def _predict(self, request: Request, data: bytes) -> Response:
        self.calls.append(hashlib.sha256(data).hexdigest())
        self.headers.append(dict(request.headers))
        time.sleep(self.pause_s)
        if self.busy:
            return _problem(503, "queue_full")
        if self.broken:
            return _problem(500, "inference_failed")
        source = pydicom.dcmread(io.BytesIO(data))
        if source.get("ViewPosition") == "LL":
            return _problem(422, "lateral_view")
        if "PixelData" not in source or len(source.PixelData) < source.Rows * source.Columns:
            return _problem(422, "corrupt_image")
        return Response(related([result_of(data)]), media_type=RELATED)


def _problem(status: int, code: str) -> Response:
    content = {"code": code, "status": status, "detail": "", "title": code}
    return JSONResponse(content, status, media_type="application/problem+json")

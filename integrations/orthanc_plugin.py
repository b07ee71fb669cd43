"""Orthanc with its Python plugin: {"PythonScript": "orthanc_plugin.py"}.

Every new radiograph is scored and its results are stored beside it. Nothing but the standard
library; the work is done in a thread of its own, so that Orthanc waits for nothing.
"""

import json
import os
import queue
import threading
import urllib.error
import urllib.request
import uuid

import orthanc

URL = os.environ.get("WSCXR_URL", "http://127.0.0.1:8000")
KINDS = os.environ.get("WSCXR_KINDS", "sc,sr").split(",")
MODALITIES = {"CR", "DX"}
arrived: "queue.Queue[str]" = queue.Queue()


def score(file: bytes, kind: str) -> bytes:
    """One DICOM result of one DICOM file."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    body = head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if key := os.environ.get("WSCXR_API_KEY"):
        headers["X-API-Key"] = key
    url = f"{URL}/v1/predict/dicom?only={kind}"
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - the operator's URL
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - the operator's URL
        return bytes(answer.read())


def analyse(instance: str) -> None:
    """Score an instance and store its results; what is no radiograph is left alone."""
    tags = json.loads(orthanc.RestApiGet(f"/instances/{instance}/simplified-tags"))
    if tags.get("Modality") not in MODALITIES:
        return
    file = orthanc.GetDicomForInstance(instance)
    for kind in KINDS:
        orthanc.RestApiPost("/instances", score(file, kind))


def work() -> None:
    """Take what arrived, one by one, for ever."""
    while True:
        instance = arrived.get()
        try:
            analyse(instance)
        except urllib.error.HTTPError as error:
            orthanc.LogWarning(f"wscxr refused {instance}: HTTP {error.code}")
        except Exception as error:  # noqa: BLE001 - one instance must not end the thread
            orthanc.LogError(f"wscxr failed on {instance}: {type(error).__name__}")


def on_change(change: int, _level: int, resource: str) -> None:
    """Note what arrives."""
    if change == orthanc.ChangeType.NEW_INSTANCE:
        arrived.put(resource)


threading.Thread(target=work, daemon=True).start()
orthanc.RegisterOnChangeCallback(on_change)

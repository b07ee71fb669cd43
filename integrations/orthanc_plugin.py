"""Orthanc with its Python plugin: {"PythonScript": "orthanc_plugin.py"}.

Scores every new radiograph and stores its results beside it. Needs only the standard library, and
works in its own thread, so that Orthanc never waits.
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
    """Have one DICOM file scored, and return one of its DICOM results."""
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
    """Score an instance and store its results, if it is a radiograph."""
    tags = json.loads(orthanc.RestApiGet(f"/instances/{instance}/simplified-tags"))
    if tags.get("Modality") not in MODALITIES:
        return
    file = orthanc.GetDicomForInstance(instance)
    for kind in KINDS:
        orthanc.RestApiPost("/instances", score(file, kind))


def work() -> None:
    """Work on what arrives, one by one, for ever."""
    while True:
        instance = arrived.get()
        try:
            analyse(instance)
        except urllib.error.HTTPError as error:
            orthanc.LogWarning(f"wscxr refused {instance}: HTTP {error.code}")
        except Exception as error:  # noqa: BLE001 - one instance must not end the thread
            orthanc.LogError(f"wscxr failed on {instance}: {type(error).__name__}")


def on_change(change: int, _level: int, resource: str) -> None:
    """Queue what arrives."""
    if change == orthanc.ChangeType.NEW_INSTANCE:
        arrived.put(resource)


threading.Thread(target=work, daemon=True).start()
orthanc.RegisterOnChangeCallback(on_change)

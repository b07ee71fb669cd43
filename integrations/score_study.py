#!/usr/bin/env python3
"""Score DICOM files and store the results in a PACS; plain Python, nothing to install.

    score_study.py http://pacs:8042/dicom-web FILE...

Environment: WSCXR_URL (http://127.0.0.1:8000), WSCXR_API_KEY, PACS_AUTHORIZATION (a whole header
value, such as "Basic dXNlcjpwYXNz" or "Bearer ..."). Exits with 1 when a file could not be scored
or its results were not stored.
"""

import json
import os
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

SERVICE = os.environ.get("WSCXR_URL", "http://127.0.0.1:8000")


def post(url: str, body: bytes, headers: dict[str, str]) -> tuple[bytes, str]:
    """POST, and return the body of the answer with its content type."""
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - the operator's URL
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - the operator's URL
        return answer.read(), answer.headers["Content-Type"]


def score(file: bytes) -> tuple[bytes, str]:
    """Have one DICOM file scored; return the result objects as multipart/related."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    body = head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if key := os.environ.get("WSCXR_API_KEY"):
        headers["X-API-Key"] = key
    return post(f"{SERVICE}/v1/predict/dicom", body, headers)


def store(pacs: str, results: bytes, content_type: str) -> None:
    """Store the results: the answer of the service is the body of a STOW-RS request."""
    headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
    if authorization := os.environ.get("PACS_AUTHORIZATION"):
        headers["Authorization"] = authorization
    post(f"{pacs.rstrip('/')}/studies", results, headers)


def main(pacs: str, *files: str) -> int:
    """Score and store each file; one that fails does not stop the others."""
    failed = 0
    for place, name in enumerate(files, 1):
        try:
            store(pacs, *score(Path(name).read_bytes()))
            outcome = "stored"
        except urllib.error.HTTPError as error:
            failed += 1
            try:
                outcome = json.loads(error.read())["code"]
            except (ValueError, KeyError, TypeError):
                outcome = f"HTTP {error.code}"
        except OSError as error:
            failed += 1
            outcome = type(error).__name__
        # Neither names nor UIDs: this may end up in a log.
        sys.stdout.write(f"{place} of {len(files)}: {outcome}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))

"""Post images to the service; print the answers and save the anomaly maps.

Example: python examples/service_client.py chest1.png chest2.dcm --url http://127.0.0.1:8000
The API key, where the service demands one, is read from the environment variable WSCXR_API_KEY.
"""

import argparse
import base64
import os
import sys
from pathlib import Path

import httpx


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, nargs="+", help="PNG, JPEG or DICOM")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the service is")
    parser.add_argument("--maps", type=Path, help="folder for the anomaly maps")
    arguments = parser.parse_args()

    key = os.environ.get("WSCXR_API_KEY")
    headers = {"X-API-Key": key} if key else {}
    failed = False
    with httpx.Client(base_url=arguments.url, headers=headers, timeout=60) as client:
        for image in arguments.images:
            # The name of the file is not sent: it may be a patient's.
            answer = client.post(
                "/v1/predict",
                params={"map": "base64" if arguments.maps else "none"},
                files={"file": ("radiograph", image.read_bytes())},
            )
            if not answer.is_success:
                failed = True
                problem = answer.json()
                print(f"{image}: {problem['detail']} [{problem['code']}]", file=sys.stderr)
                continue
            found = answer.json()
            numbers = f"score {found['score']:.3f}, p {found['p_value']:.3f}"
            print(f"{image}: {found['decision']}, {numbers}")
            for warning in found["warnings"]:
                print(f"{image}: {warning}", file=sys.stderr)
            if arguments.maps:
                arguments.maps.mkdir(parents=True, exist_ok=True)
                png = base64.b64decode(found["map"]["base64"])
                (arguments.maps / f"{image.stem}.png").write_bytes(png)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()

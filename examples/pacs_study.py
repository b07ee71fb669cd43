"""Have the service analyse one study of the PACS, and print what became of each instance.

Example: python examples/pacs_study.py 1.2.840.113619.2.1 --url http://127.0.0.1:8000
The service must know the PACS: WSCXR_PACS_URL and so on in its environment.
"""

import argparse
import os
import sys

import httpx


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="Study Instance UID")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the service is")
    arguments = parser.parse_args()

    key = os.environ.get("WSCXR_API_KEY")
    answer = httpx.post(
        f"{arguments.url}/v1/studies/{arguments.study}/analyze",
        params={"wait": True},
        headers={"X-API-Key": key} if key else {},
        timeout=600,
    )
    if not answer.is_success:
        problem = answer.json()
        sys.exit(f"{problem['detail']} [{problem['code']}]")
    job = answer.json()
    for instance in job["instances"]:
        print(instance["sop_instance_uid"], instance["outcome"], instance["code"] or "")
    sys.exit(0 if job["status"] == "done" else f"the study failed: {job['code']}")


if __name__ == "__main__":
    main()

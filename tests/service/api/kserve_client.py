"""KServe's own client against a server; runs in an environment that has `kserve`, not in ours.

Run as ``python kserve_client.py URL FILE...``; writes what the client says as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def ask(url: str, files: list[bytes]) -> dict[str, Any]:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        image = InferInput("image", [len(files)], "BYTES")
        image.set_data_from_numpy(np.array(files, dtype=object), binary_data=True)
        request = InferRequest("tiny", [image], request_id="from-kserve")
        answer = await client.infer(url, request, model_name="tiny")
        files[-1] = b"no image"
        image.set_data_from_numpy(np.array(files, dtype=object), binary_data=True)
        try:
            await client.infer(url, request, model_name="tiny")
            error = ""
        except Exception as refused:  # noqa: BLE001 - whatever the client raises is shown
            error = str(refused)
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model_ready": await client.is_model_ready(url, "tiny"),
            "other_ready": await client.is_model_ready(url, "other"),
            "id": answer.id,
            "outputs": {
                output.name: [
                    value.decode() if isinstance(value, bytes) else value
                    for value in output.as_numpy().tolist()
                ]
                for output in answer.outputs
            },
            "error": error,
        }


if __name__ == "__main__":
    _, address, *paths = sys.argv
    found = asyncio.run(ask(address, [Path(path).read_bytes() for path in paths]))
    sys.stdout.write(json.dumps(found))

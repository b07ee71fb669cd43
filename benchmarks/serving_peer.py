"""The shipped bundle behind LitServe: the peer that `benchmarks.serving_load` compares with.

``pip install litserve`` first; no part of the project needs it.
"""

import sys
from typing import Any

import litserve
from fastapi import Request

from wscxr.process import configure_process


class Peer(litserve.LitAPI):
    """The same decoding and the same model, by LitServe's four steps."""

    def setup(self, device: str) -> None:
        """Load the bundle, in each of LitServe's workers."""
        from wscxr import shipped
        from wscxr.bundle.bundle import Bundle

        self.bundle = Bundle.load(shipped.model_store() / shipped.BUNDLE, device)

    def decode_request(self, request: Request) -> Any:
        """Decode the upload to a model input; LitServe hands the form over."""
        from wscxr.imaging import read_radiograph

        form: Any = request
        data = form["file"].file.read()
        return self.bundle.prepare(read_radiograph(data, side=self.bundle.view_side))

    def predict(self, x: Any) -> Any:
        """Score it."""
        return self.bundle.predict_inputs([x])[0]

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Answer with the numbers."""
        return {
            "score": output.score,
            "p_value": output.p_value,
            "decision": output.decision.value,
            "ood_score": output.ood_score,
        }


if __name__ == "__main__":
    configure_process()
    litserve.LitServer(
        Peer(max_batch_size=1, api_path="/v1/predict"),
        accelerator="cpu",
        workers_per_device=int(sys.argv[2]),
        healthcheck_path="/health/ready",
    ).run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")

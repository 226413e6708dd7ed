"""LitServe: an HTTP server in one process, the network in `workers` others.

Bodies are raw bytes: FastAPI hands them on where the argument is annotated as `Body`.
It must be called `request`. Started by the driver: serve_litserve.py FOLDER
"""

import sys
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body, Response
from network import Network, Plan

Raw = Annotated[bytes, Body(media_type="application/octet-stream")]


class Codes(litserve.LitAPI):  # type: ignore[misc]
    """Codes of one image; of several where LitServe puts requests together."""

    def __init__(self, plan: Plan, *, is_jpeg: bool) -> None:
        batching = {"max_batch_size": plan.max_batch, "batch_timeout": plan.max_wait_ms / 1e3}
        path = "/jpeg" if is_jpeg else "/tensor"
        super().__init__(api_path=path, **(batching if plan.max_batch > 1 else {}))
        self.plan = plan
        self.is_jpeg = is_jpeg

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's
        self.network = Network(self.plan)

    def decode_request(self, request: Raw) -> Any:
        network = self.network
        return network.decode(request) if self.is_jpeg else network.from_bytes(request)

    def batch(self, inputs: list[Any]) -> Any:
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        return self.network.codes(x if self.plan.max_batch > 1 else x[None])

    def unbatch(self, output: Any) -> Any:
        return list(output)

    def encode_response(self, output: Any) -> Response:
        return Response(output.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    plan = Plan.read(sys.argv[1])
    server = litserve.LitServer(
        [Codes(plan, is_jpeg=False), Codes(plan, is_jpeg=True)],
        accelerator="cpu",
        workers_per_device=plan.workers,
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1", port=plan.port, num_api_servers=1, generate_client_file=False,
        log_level="warning",
    )  # fmt: skip

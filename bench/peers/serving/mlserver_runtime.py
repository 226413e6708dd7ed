"""The runtime that MLServer loads: see serve_mlserver.py."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlserver
import numpy as np
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from network import Network, Plan


class Codes(mlserver.MLModel):  # type: ignore[misc]
    """Codes of the one input's elements, which are bytes, each an image."""

    async def load(self) -> bool:
        self.plan = Plan.read(os.environ["PEER_FOLDER"])
        self.network = Network(self.plan)
        self.pool = ThreadPoolExecutor(self.plan.at_once)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        data: Any = payload.inputs[0].data
        images = [one.encode() if isinstance(one, str) else one for one in data]
        loop = asyncio.get_running_loop()
        codes = await loop.run_in_executor(self.pool, self._codes, images)
        packed: Any = [one.tobytes() for one in codes]
        output = ResponseOutput(name="codes", shape=[len(packed)], datatype="BYTES", data=packed)
        return InferenceResponse(model_name=self.name, outputs=[output])

    def _codes(self, images: list[bytes]) -> Any:
        network = self.network
        is_jpeg = self.name == "jpeg"
        made = [network.decode(one) if is_jpeg else network.from_bytes(one) for one in images]
        return network.codes(np.stack(made))

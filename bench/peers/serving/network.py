"""The network as all peers serve it: ONNX Runtime on one file, Pillow for photos.

Runs in each peer's own environment: numpy, Pillow and onnxruntime only. `decode` does
what icecore's recipe does, in the same order and with the same rounding.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class Plan:
    """What the driver has decided for a server; `folder` holds graph.onnx and recipe.json.

    `port` is that of requests, `other_port` is free for whatever else it wants.
    `workers` processes run the network, 0 means the one that also answers; each makes up to
    `at_once` passes at a time, of `threads` intra-op threads each. Requests are put together
    up to `max_batch`, waiting at most `max_wait_ms`; 1 means no batching.
    """

    folder: Path
    port: int
    other_port: int
    third_port: int
    workers: int
    at_once: int
    threads: int
    max_batch: int
    max_wait_ms: float

    @classmethod
    def read(cls, folder: str | Path) -> "Plan":
        told = json.loads((Path(folder) / "plan.json").read_text())
        return cls(folder=Path(folder), **told)


class Network:
    """A session of `threads` threads, and the recipe."""

    def __init__(self, plan: Plan) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = plan.threads
        options.inter_op_num_threads = 1
        # Threads that spin for work would take the other processes' cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            plan.folder / "graph.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._source = self._session.get_inputs()[0].name
        recipe = json.loads((plan.folder / "recipe.json").read_text())
        self._resize: int = recipe["resize"]
        self._filter = FILTERS[recipe["interpolation"]]
        self.shape: tuple[int, int, int] = (3, recipe["height"], recipe["width"])
        self._mean = np.array(recipe["mean"], np.float32)[:, None, None]
        self._std = np.array(recipe["std"], np.float32)[:, None, None]
        self.n_features: int = self.codes(np.zeros((1, *self.shape), np.float32)).shape[1]

    def codes(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return (n, d) of (n, 3, h, w)."""
        codes: Any = self._session.run(None, {self._source: images})[0]
        return np.asarray(codes, np.float32)

    def from_bytes(self, tensor: bytes) -> npt.NDArray[np.float32]:
        """Return (3, h, w) of a float32 tensor's bytes."""
        return np.frombuffer(tensor, "<f4").reshape(self.shape)

    def decode(self, jpeg: bytes) -> npt.NDArray[np.float32]:
        """Return (3, h, w) of an encoded photo: resized, cropped and normalised."""
        with Image.open(io.BytesIO(jpeg)) as file:
            image = file.convert("RGB")
        width, height = image.size
        if width <= height:
            size = self._resize, int(self._resize * height / width)
        else:
            size = int(self._resize * width / height), self._resize
        _, crop_height, crop_width = self.shape
        left, top = round((size[0] - crop_width) / 2.0), round((size[1] - crop_height) / 2.0)
        resized = np.asarray(image.resize(size, self._filter))
        pixels = resized[top : top + crop_height, left : left + crop_width]
        values = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
        values /= np.float32(255)
        values -= self._mean
        values /= self._std
        return values

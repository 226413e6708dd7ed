"""What ModelInfer costs beside Embed, for the same images on the same server.

Rounds of each in turn: a float32 tensor (3 x 224 x 224, 602 KB), uint8 pixels of that
size, and a JPEG (500 x 375), by 1 and by 8 callers at once. No two requests are the same,
so no codes are known before. The first layer is asked for, whose pass of 0.3 ms hides little.
Prints the CPU-milliseconds a request of the server's process
tree and the median latency: the least of the rounds, since what others do on the machine only adds.

The law: ModelInfer costs at most 0.2 CPU-ms more than Embed.

Usage: python bench/kserve_overhead.py [--seconds S] [--rounds R]
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from icecore.kserve import open_inference as pb
from icecore.v1 import codes_pb2, common_pb2
from load.bodies import Body, jpeg_body, tensor_body
from load.generator import Generator, Job
from load.icecore_server import icecore_server
from load.networks import photo
from load.outcome import Outcome, percentile

INFER = "/inference.GRPCInferenceService/ModelInfer"
MODEL = "efficientnet-lite0"
LAYER = "1"
SIDE = 224
MOST_MS = 0.2
"""More than Embed; a message of 602 KB is copied a few times in less."""


def embed(image: common_pb2.Image) -> bytes:
    """Return the bytes of an Embed of one image."""
    asked = codes_pb2.EmbedRequest(backbone=MODEL, layers=[LAYER], images=[image])
    return asked.SerializeToString()


def embed_tensor(dtype: common_pb2.DType.ValueType, shape: Sequence[int], data: bytes) -> bytes:
    return embed(common_pb2.Image(tensor=common_pb2.Tensor(dtype=dtype, shape=shape, data=data)))


def infer(datatype: str, shape: Sequence[int], raw: bytes) -> bytes:
    """Return the bytes of a ModelInfer of one image."""
    message = pb.ModelInferRequest(model_name=MODEL, raw_input_contents=[raw])
    message.inputs.add(name="image", datatype=datatype, shape=shape)
    message.outputs.add(name=LAYER)
    return message.SerializeToString()


def bodies() -> dict[str, tuple[Body, Body]]:
    """Return what is sent, by name: to Embed, and to ModelInfer."""
    random = np.random.default_rng(20240229)
    tensor = random.normal(0, 1, (3, SIDE, SIDE)).astype(np.float32)
    pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    as_floats = pixels.reshape(-1).view("<f4")  # only its bytes are sent
    jpeg = photo()

    def prefixed(data: bytes) -> bytes:
        return len(data).to_bytes(4, "little") + data

    return {
        "float32 tensor": (
            tensor_body(tensor, partial(embed_tensor, common_pb2.D_TYPE_FLOAT32, tensor.shape)),
            tensor_body(tensor, partial(infer, "FP32", [1, *tensor.shape])),
        ),
        "uint8 pixels": (
            tensor_body(as_floats, partial(embed_tensor, common_pb2.D_TYPE_UINT8, pixels.shape)),
            tensor_body(as_floats, partial(infer, "UINT8", [1, *pixels.shape])),
        ),
        "JPEG": (
            jpeg_body(jpeg, lambda data: embed(common_pb2.Image(encoded=data))),
            jpeg_body(jpeg, lambda data: infer("BYTES", [1], prefixed(data))),
        ),
    }


def show(name: str, concurrency: int, method: str, rounds: Sequence[Outcome]) -> None:
    cpu = min(one.server_cpu_ms for one in rounds)
    median = min(percentile(one.ms, 50) for one in rounds)
    rate = max(one.rate for one in rounds)
    print(f"{name:16} {concurrency:>7} {method:12} {cpu:>8.2f} {median:>8.2f} {rate:>8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(
        f"{date.today()}  {platform.machine()}, {cores} cores, Python {platform.python_version()}, "
        f"{MODEL}; best of {asked.rounds} rounds of {asked.seconds:g} s\n"
    )
    print(f"{'one':16} {'callers':>7} {'':12} {'CPU-ms':>8} {'p50 ms':>8} {'a second':>8}")
    first = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        icecore_server(Path(folder)) as server,
        Generator() as generator,
    ):
        targets = server.target(), replace(server.target(), path=INFER)
        for name, pair in bodies().items():
            for concurrency in (1, 8):
                rounds: tuple[list[Outcome], list[Outcome]] = [], []
                for _ in range(asked.rounds):
                    for target, body, found in zip(targets, pair, rounds, strict=True):
                        first += 100_000
                        job = Job(
                            target, body, asked.seconds, first, concurrency,
                            warm_up=10, pid=server.tree.pid,
                        )  # fmt: skip
                        found.append(generator.run(job))
                        if found[-1].failures():
                            raise SystemExit(f"{target.path}: {found[-1].complaint}")
                for method, found in zip(("Embed", "ModelInfer"), rounds, strict=True):
                    show(name, concurrency, method, found)
                embeds, infers = ([one.server_cpu_ms for one in found] for found in rounds)
                more = min(infers) - min(embeds)
                print(
                    f"{'':24} {more:+.2f} CPU-ms a request; rounds up to {max(embeds):.2f} and "
                    f"{max(infers):.2f}  {'PASS' if more <= MOST_MS else 'FAIL'}\n"
                )


if __name__ == "__main__":
    main()

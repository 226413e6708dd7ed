"""PyTriton: Triton Inference Server, whose models are functions in this process.

Asked over HTTP with binary tensors, which costs it 0.3 CPU-ms less than gRPC. Instances
are threads here, as `infer_func=[...]` makes them; ONNX Runtime and Pillow let go of the
interpreter's lock. Started by the driver: serve_pytriton.py FOLDER
"""

import sys
from typing import Any

import numpy as np
from network import Network, Plan
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

plan = Plan.read(sys.argv[1])
networks = [Network(plan) for _ in range(plan.at_once)]


def of_tensors(network: Network) -> Any:
    @batch  # type: ignore[untyped-decorator]
    def infer(image: Any) -> list[Any]:
        return [network.codes(image)]

    return infer


def of_jpegs(network: Network) -> Any:
    @batch  # type: ignore[untyped-decorator]
    def infer(image: Any) -> list[Any]:
        return [network.codes(np.stack([network.decode(one[0]) for one in image]))]

    return infer


config = ModelConfig(
    max_batch_size=max(1, plan.max_batch),
    batching=True,
    batcher=DynamicBatcher(max_queue_delay_microseconds=int(plan.max_wait_ms * 1e3)),
)
triton = TritonConfig(
    grpc_port=plan.other_port,
    http_port=plan.port,
    metrics_port=plan.third_port,
    grpc_address="127.0.0.1",
    http_address="127.0.0.1",
    allow_metrics=False,
    log_verbose=0,
)
with Triton(config=triton) as server:
    codes = Tensor(name="codes", dtype=np.float32, shape=(networks[0].n_features,))
    for name, make, source in (
        ("tensor", of_tensors, Tensor(name="image", dtype=np.float32, shape=networks[0].shape)),
        ("jpeg", of_jpegs, Tensor(name="image", dtype=bytes, shape=(1,))),
    ):
        server.bind(
            model_name=name,
            infer_func=[make(network) for network in networks],
            inputs=[source],
            outputs=[codes],
            config=config,
        )
    server.serve()

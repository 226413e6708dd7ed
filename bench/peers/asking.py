"""How each peer is asked for the codes of one image, and how its answers are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from load.bodies import SENTINEL_DIGITS, Body, jpeg_body, tensor_body, with_comment
from load.calling import Target
from load.processes import Tree
from peers import inference_protocol as protocol

INPUTS = ("tensor", "jpeg")
OCTETS = (("Content-Type", "application/octet-stream"),)

Floats = npt.NDArray[np.float32]
Request = tuple[Target, Body]


@dataclass(frozen=True)
class Asked:
    """A running server as the generator sees it: where, what, and how its answers are read."""

    tree: Tree
    targets: Mapping[str, Target]
    bodies: Mapping[str, Body]
    read: Callable[[bytes], Floats]


def asked_of(peer: str, tree: Tree, port: int, tensor: Floats, jpeg: bytes) -> Asked:
    """Return how a peer's server at `port` of this machine is asked."""
    tensors, jpegs, read = _SPOKEN[peer]
    address = f"127.0.0.1:{port}"
    asked = {"tensor": tensors(address, tensor), "jpeg": jpegs(address, jpeg)}
    return Asked(
        tree,
        {kind: target for kind, (target, _) in asked.items()},
        {kind: body for kind, (_, body) in asked.items()},
        read,
    )


def _raw_tensor(address: str, tensor: Floats) -> Request:
    """Its bytes over HTTP, and nothing else."""
    return Target("http", address, "/tensor", OCTETS), tensor_body(tensor, bytes)


def _raw_jpeg(address: str, jpeg: bytes) -> Request:
    return Target("http", address, "/jpeg", OCTETS), jpeg_body(jpeg, bytes)


def _element_tensor(address: str, tensor: Floats) -> Request:
    """ModelInfer over gRPC, the tensor as an element of BYTES."""
    target = Target("grpc", address, protocol.INFER)
    return target, tensor_body(tensor, lambda data: _elements("tensor", data))


def _element_jpeg(address: str, jpeg: bytes) -> Request:
    target = Target("grpc", address, protocol.INFER)
    return target, jpeg_body(jpeg, lambda data: _elements("jpeg", data))


def _elements(kind: str, data: bytes) -> bytes:
    return protocol.request(kind, "BYTES", (1,), protocol.element(data))


def _binary_tensor(address: str, tensor: Floats) -> Request:
    """ModelInfer over HTTP, the tensor's bytes behind the JSON."""
    head = protocol.http_head("FP32", (1, *tensor.shape), tensor.nbytes)
    target = Target("http", address, "/v2/models/tensor/infer", protocol.http_headers(head))
    return target, tensor_body(tensor, lambda data: head + data)


def _binary_jpeg(address: str, jpeg: bytes) -> Request:
    size = len(protocol.element(with_comment(jpeg, SENTINEL_DIGITS)))
    head = protocol.http_head("BYTES", (1, 1), size)
    target = Target("http", address, "/v2/models/jpeg/infer", protocol.http_headers(head))
    return target, jpeg_body(jpeg, lambda data: head + protocol.element(data))


def _floats(data: bytes) -> Floats:
    return np.frombuffer(data, "<f4")


def _from_elements(answer: bytes) -> Floats:
    return _floats(protocol.first_element(protocol.raw_output(answer)))


def _from_binary(answer: bytes) -> Floats:
    return _floats(protocol.http_output(answer))


_RAW = (_raw_tensor, _raw_jpeg, _floats)
_SPOKEN: Mapping[
    str,
    tuple[
        Callable[[str, Floats], Request],
        Callable[[str, bytes], Request],
        Callable[[bytes], Floats],
    ],
] = {
    "pytriton": (_binary_tensor, _binary_jpeg, _from_binary),
    "litserve": _RAW,
    "mlserver": (_element_tensor, _element_jpeg, _from_elements),
    "bentoml": _RAW,
}

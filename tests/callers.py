"""Raw gRPC callers for tests of the server's door, without the client's comforts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2

from icecore.v1 import (
    backbone_pb2_grpc,
    codes_pb2_grpc,
    collection_pb2_grpc,
    common_pb2,
    probe_pb2_grpc,
    tenant_pb2_grpc,
)
from icecore.wire.messages import image_to_message

TIMEOUT_S = 60.0


class Caller:
    """Stubs of all services over one channel, with a key if there is one."""

    def __init__(self, channel: grpc.Channel, key: str | None = None) -> None:
        self.channel = channel
        self.key = key
        if key is not None:
            channel = grpc.intercept_channel(channel, _Credential(key))
        self.backbones: Any = backbone_pb2_grpc.BackboneServiceStub(channel)
        self.codes: Any = codes_pb2_grpc.CodesServiceStub(channel)
        self.collections: Any = collection_pb2_grpc.CollectionServiceStub(channel)
        self.probes: Any = probe_pb2_grpc.ProbeServiceStub(channel)
        self.tenants: Any = tenant_pb2_grpc.TenantServiceStub(channel)
        self.keyed = channel

    def with_key(self, key: str | None) -> "Caller":
        """The same channel for somebody else."""
        return Caller(self.channel, key)


@contextmanager
def calling(address: str, key: str | None = None, *, ca: bytes | None = None) -> Iterator[Caller]:
    """A caller; with `ca` (PEM) over TLS."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if ca is None:
        channel = grpc.insecure_channel(address, options)
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca), options)
    with channel:
        yield Caller(channel, key)


@dataclass(frozen=True)
class Refusal:
    """What a failed call said."""

    code: str
    reason: str
    message: str
    details: tuple[tuple[str, str], ...]


def refusal(call: Callable[[], Any]) -> Refusal:
    """Make a call that must fail and return what it said; a stream is read to its end."""
    try:
        answer = call()
        if hasattr(answer, "__next__"):
            answer = list(answer)
    except grpc.RpcError as error:
        return refusal_of(error)
    raise AssertionError(f"the call was not refused: {str(answer)[:500]}")


def refusal_of(error: Any) -> Refusal:
    """What an error that was caught says."""
    trailers = dict(error.trailing_metadata() or ())
    data = trailers.get("grpc-status-details-bin")
    assert isinstance(data, bytes), f"no google.rpc.Status: {error.code()} {error.details()!r}"
    status = status_pb2.Status.FromString(data)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info), "no ErrorInfo"
    assert info.domain == "icecore"
    assert status.message == error.details()
    assert "\n" not in status.message
    details = tuple(sorted(info.metadata.items()))
    return Refusal(error.code().name, info.reason, status.message, details)


def pixels(seed: int, *, size: int = 8) -> common_pb2.Image:
    """An image of random pixels; the toy's input is 8 x 8."""
    random = np.random.default_rng(seed)
    return image_to_message(random.integers(0, 256, (size, size, 3), dtype=np.uint8))


class _Credential(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends a key with every call, also where no TLS protects it."""

    def __init__(self, key: str) -> None:
        self._key = key

    def _keyed(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {self._key}")]
        return continuation(_Details(details.method, details.timeout, metadata), request)

    intercept_unary_unary: Any = _keyed
    intercept_unary_stream: Any = _keyed
    intercept_stream_unary: Any = _keyed
    intercept_stream_stream: Any = _keyed


@dataclass(frozen=True)
class _Details(grpc.ClientCallDetails):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any = None
    wait_for_ready: Any = None
    compression: Any = None

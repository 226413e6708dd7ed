"""The border: gRPC's errors come in, ours go out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from icecore.client import errors
from icecore.client._address import Endpoint
from icecore.wire.reasons import DOMAIN, Reason

CLASSES: dict[grpc.StatusCode, type[errors.IcecoreError]] = {
    # A success that comes as an error is a broken server's.
    grpc.StatusCode.OK: errors.Internal,
    grpc.StatusCode.CANCELLED: errors.Cancelled,
    grpc.StatusCode.UNKNOWN: errors.Internal,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhausted,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    grpc.StatusCode.ABORTED: errors.Unavailable,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidArgument,
    grpc.StatusCode.UNIMPLEMENTED: errors.Unimplemented,
    grpc.StatusCode.INTERNAL: errors.Internal,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DATA_LOSS: errors.Internal,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
}

_SHORTER = {
    "Connection refused": "connection refused",
    "Domain name not found": "its name is not known",
    "No such file or directory": "there is no such socket",
    "CERTIFICATE_VERIFY_FAILED": (
        "its certificate is not of an authority trusted here, nor of the file that ca names"
    ),
    "Hostname Verification Check failed": "its certificate is for another name",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
}
"""What gRPC says in passing, and what is said instead."""

_DETAILS_KEY = "grpc-status-details-bin"

_CANCELLED_THERE = "CANCELLED"
"""In gRPC's own words; of a call that was cancelled here it has others."""

_TOO_LARGE = "message larger than max"
"""In gRPC's own words for a message far over the limit, which no server of ours gets to see."""


@contextmanager
def border(path: str, endpoint: Endpoint) -> Iterator[None]:
    """Translate what a call to `path` raises; also around an `await`."""
    try:
        yield
    except grpc.RpcError as error:
        raise translate(error, path, endpoint.address.target, tls=endpoint.tls) from error


def ended_early(path: str, endpoint: Endpoint) -> errors.Internal:
    """Return the error of a stream that ended well with fewer answers than requests."""
    return errors.Internal(
        f"{_method(path)} at {endpoint.address.target!r} ended with requests unanswered"
    )


def translate(error: Any, path: str, target: str, *, tls: bool = False) -> errors.IcecoreError:
    """Return our error for gRPC's, with the server's reason where it sent one."""
    code, sentence = error.code(), " ".join((error.details() or "").split())
    cls = CLASSES[code]
    told = _status(error.trailing_metadata() or ())
    info = _error_info(told)
    if info is not None:
        ours = cls(sentence, reason=info.reason, details=dict(info.metadata))
        if isinstance(ours, errors.ResourceExhausted):
            ours.retry_after_s = _retry_after_s(told)
        return ours
    # Nothing of ours answered: the network, a proxy, or gRPC itself below the server.
    method = _method(path)
    if code is grpc.StatusCode.CANCELLED and sentence == _CANCELLED_THERE:
        # By a server that ends, and did not come to look at the call.
        return errors.Unavailable(f"the server at {target!r} ended {method} unanswered")
    if code is grpc.StatusCode.UNAVAILABLE:
        sentence = f"no server answers at {target!r}: {_why(sentence, tls)}"
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        sentence = f"{method} at {target!r} got no answer in time; timeout_s gives it more"
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in sentence:
        sentence = (
            f"the message is too large for {target!r}: send fewer or smaller images in each "
            f"({sentence})"
        )
        return cls(sentence, reason=Reason.MESSAGE_TOO_LARGE.value)
    elif code is grpc.StatusCode.UNIMPLEMENTED:
        sentence = f"the server at {target!r} has no {method}: it may be older than this client"
    else:
        sentence = f"{method} at {target!r} failed with {code.name} ({sentence})"
    return cls(sentence, reason=code.name)


def _why(sentence: str, tls: bool) -> str:
    """Return gRPC's words for a failed connection in shorter ones, where they are known."""
    if not tls and sentence.endswith("Socket closed"):
        return "the connection is closed at once, as by a server that wants TLS"
    return next((ours for theirs, ours in _SHORTER.items() if theirs in sentence), sentence)


def _method(path: str) -> str:
    return path.rpartition("/")[2]


def _status(metadata: Any) -> status_pb2.Status:
    """The status in the trailers; empty where there is none or not one."""
    for key, value in metadata:
        if key == _DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _error_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo | None:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if _unpacked(detail, info) and info.domain == DOMAIN:
            return info
    return None


def _retry_after_s(status: status_pb2.Status) -> float | None:
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if _unpacked(detail, retry):
            return max(0.0, float(retry.retry_delay.ToMilliseconds()) / 1e3)
    return None


def _unpacked(detail: Any, message: Any) -> bool:
    try:
        return bool(detail.Unpack(message))
    except DecodeError:
        return False

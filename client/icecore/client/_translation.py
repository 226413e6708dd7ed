"""The border: gRPC's errors come in, ours go out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from icecore.client import _looking, errors
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
    "CERTIFICATE_VERIFY_FAILED": _looking.NOT_TRUSTED,
    "Hostname Verification Check failed": _looking.OTHER_NAME,
    "WRONG_VERSION_NUMBER": _looking.NO_TLS,
    "Socket closed": "the connection was closed",
}
"""What gRPC says in passing, and what is said instead."""

_UNCLEAR = ("Connection refused", "Socket closed")
"""What gRPC also says where TLS is wanted and not spoken, or the other way round."""

_DETAILS_KEY = "grpc-status-details-bin"

_CANCELLED_THERE = "CANCELLED"
"""In gRPC's own words; of a call that was cancelled here it has others."""

_TOO_LARGE = "message larger than max"
"""In gRPC's own words for a message far over the limit, which no server of ours gets to see."""


@contextmanager
def border(path: str, endpoint: Endpoint) -> Iterator[None]:
    """Translate what a call to `path` raises; it may be looked at what listens there."""
    try:
        yield
    except grpc.RpcError as error:
        raise _clear(error, path, endpoint) from error


@asynccontextmanager
async def awaited_border(path: str, endpoint: Endpoint) -> AsyncIterator[None]:
    """As `border`, around an `await`."""
    try:
        yield
    except grpc.RpcError as error:
        if _is_unclear(error, endpoint):
            raise await asyncio.to_thread(_clear, error, path, endpoint) from error
        raise _clear(error, path, endpoint) from error


def ended_early(path: str, endpoint: Endpoint) -> errors.Internal:
    """Return the error of a stream that ended well with fewer answers than requests."""
    return errors.Internal(
        f"{_method(path)} at {endpoint.address.target!r} ended with requests unanswered"
    )


def _clear(error: Any, path: str, endpoint: Endpoint) -> errors.IcecoreError:
    target = endpoint.address.target
    seen = _looking.look(endpoint) if _is_unclear(error, endpoint) else None
    if seen is None:
        return translate(error, path, target)
    return errors.Unavailable(_no_server(target, seen.why), reason=seen.reason)


def _is_unclear(error: Any, endpoint: Endpoint) -> bool:
    sentence = error.details() or ""
    return (
        error.code() is grpc.StatusCode.UNAVAILABLE
        and not endpoint.address.target.startswith("unix:")
        and any(words in sentence for words in _UNCLEAR)
    )


def translate(error: Any, path: str, target: str) -> errors.IcecoreError:
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
        reason = errors.TLS_NOT_SPOKEN if "WRONG_VERSION_NUMBER" in sentence else code.name
        return cls(_no_server(target, _why(sentence)), reason=reason)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
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


def _no_server(target: str, why: str) -> str:
    return f"no server answers at {target!r}: {why}"


def _why(sentence: str) -> str:
    """Return gRPC's words for a failed connection in shorter ones, where they are known."""
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

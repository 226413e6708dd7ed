"""The one table from errors to gRPC statuses.

An error goes out as its code, its sentence and a `google.rpc.Status` with an
`ErrorInfo` in the trailers. What is not ours to tell goes out as INTERNAL
without detail.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from icecore.probes import errors as probes
from icecore.server import errors
from icecore.wire.reasons import DOMAIN, Reason

Known: TypeAlias = errors.IcecoreError | probes.ProbesError

CODES: Final[dict[type[Known], grpc.StatusCode]] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
    errors.Internal: grpc.StatusCode.INTERNAL,
    probes.InputInvalid: grpc.StatusCode.INVALID_ARGUMENT,
    probes.CannotLearn: grpc.StatusCode.FAILED_PRECONDITION,
    probes.TapMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    probes.ProbeFileInvalid: grpc.StatusCode.INTERNAL,
}

MAX_MESSAGE_BYTES: Final = 1000
"""Trailers above about 8 KB are refused by clients; the sentence is in them twice, encoded."""

MAX_DETAIL_BYTES: Final = 200

DETAILS_KEY: Final = "grpc-status-details-bin"
PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"
"""gRPC's clients wait so long before they retry, whatever their own backoff; -1: never."""
REQUEST_ID_KEY: Final = "x-request-id"

Trailers = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a caller is told."""

    code: grpc.StatusCode
    reason: Reason
    message: str
    details: tuple[tuple[str, str], ...] = ()
    pushback_ms: int | None = None

    def trailers(self, request_id: str) -> Trailers:
        """Return the trailing metadata: the status with its reason, and the id of the call."""
        info = error_details_pb2.ErrorInfo(
            reason=self.reason.value, domain=DOMAIN, metadata=dict(self.details)
        )
        told = [_packed(info)]
        trailers: Trailers = ((REQUEST_ID_KEY, request_id),)
        if self.pushback_ms is not None:
            trailers = (*trailers, (PUSHBACK_KEY, str(self.pushback_ms)))
            if self.pushback_ms >= 0:
                retry = error_details_pb2.RetryInfo()
                retry.retry_delay.FromMilliseconds(self.pushback_ms)
                told.append(_packed(retry))
        number: Any = self.code.value
        status = status_pb2.Status(code=number[0], message=self.message, details=told)
        return ((DETAILS_KEY, status.SerializeToString()), *trailers)


def failure_of(error: BaseException, *, request_id: str) -> Failure:
    """Return what the caller is told about any exception."""
    reason = Reason(error.reason) if isinstance(error, Known) else Reason.INTERNAL
    if not is_told(error):
        return Failure(
            grpc.StatusCode.INTERNAL,
            reason,
            f"the server failed; its log has the cause under request id {request_id!r}",
        )
    details = error.details if isinstance(error, errors.IcecoreError) else {}
    return Failure(
        code_of(type(error)),
        reason,
        _short(str(error), MAX_MESSAGE_BYTES),
        tuple((key, _short(text, MAX_DETAIL_BYTES)) for key, text in sorted(details.items())),
        _pushback_ms(error),
    )


def is_told(error: BaseException) -> bool:
    """Return whether the caller may read the error's own sentence."""
    return code_of(type(error)) is not grpc.StatusCode.INTERNAL


def code_of(kind: type[BaseException]) -> grpc.StatusCode:
    """Return the code of the nearest class in the table; INTERNAL where there is none."""
    for ancestor in kind.__mro__:
        if ancestor in CODES:
            return CODES[ancestor]
    return grpc.StatusCode.INTERNAL


def _pushback_ms(error: BaseException) -> int | None:
    """Where something is full: when to come again, or that it would be of no use."""
    if not isinstance(error, errors.ResourceExhausted):
        return None
    return -1 if error.retry_after_s is None else max(1, ceil(error.retry_after_s * 1e3))


def _packed(message: Any) -> Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _short(text: str, max_bytes: int) -> str:
    """Return the text as valid UTF-8 of at most so many bytes, on one line."""
    data = " ".join(text.split("\n")).encode("utf-8", "replace")
    if len(data) <= max_bytes:
        return data.decode()
    return data[: max_bytes - 3].decode("utf-8", "ignore") + "…"

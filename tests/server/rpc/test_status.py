"""Every error class has its code, its reason and its sentence at the door."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from icecore.probes import errors as probes
from icecore.server import errors
from icecore.server.rpc import status
from icecore.wire.reasons import DOMAIN, Reason


def _tree(root: type[Any]) -> Iterator[type[Any]]:
    for child in root.__subclasses__():
        yield child
        yield from _tree(child)


ALL = sorted(_tree(errors.IcecoreError), key=lambda kind: kind.__name__)
PROBES = sorted(_tree(probes.ProbesError), key=lambda kind: kind.__name__)
LEAVES = [kind for kind in ALL if not kind.__subclasses__()]


@pytest.mark.parametrize("kind", [*ALL, *PROBES], ids=lambda kind: kind.__name__)
def test_every_error_class_is_in_the_table(kind: type[Any]) -> None:
    ancestors = [one for one in kind.__mro__ if one in status.CODES]
    assert ancestors, f"{kind.__name__} has no gRPC status"
    assert status.code_of(kind) is status.CODES[ancestors[0]]


@pytest.mark.parametrize("kind", PROBES, ids=lambda kind: kind.__name__)
def test_errors_of_probes_go_out_like_the_servers_of_the_same_reason(kind: type[Any]) -> None:
    failure = status.failure_of(kind("a sentence"), request_id="r1")
    servers = {one.reason: status.code_of(one) for one in ALL}
    assert failure.reason == kind.reason
    assert failure.code is servers[failure.reason]


def test_every_leaf_has_a_reason_of_its_own() -> None:
    reasons = [kind.reason for kind in LEAVES]
    twice = {reason for reason in reasons if reasons.count(reason) > 1}
    assert not twice, f"these reasons stand for several errors: {twice}"


def test_every_reason_is_raised_by_some_class() -> None:
    raised = {kind.reason for kind in ALL} | {Reason.INTERNAL}
    assert set(Reason) == raised


def _info(failure: status.Failure) -> tuple[status_pb2.Status, error_details_pb2.ErrorInfo]:
    trailers = dict(failure.trailers("r1"))
    assert trailers[status.REQUEST_ID_KEY] == "r1"
    data = trailers[status.DETAILS_KEY]
    assert isinstance(data, bytes)
    message = status_pb2.Status.FromString(data)
    info = error_details_pb2.ErrorInfo()
    assert message.details[0].Unpack(info)
    return message, info


def test_a_callers_mistake_goes_out_with_reason_sentence_and_details() -> None:
    error = errors.LayerNotFound("layer 'x' is not there", layer="x")
    failure = status.failure_of(error, request_id="r1")
    assert failure.code is grpc.StatusCode.NOT_FOUND
    message, info = _info(failure)
    assert message.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert message.message == failure.message == "layer 'x' is not there"
    assert (info.reason, info.domain) == ("LAYER_NOT_FOUND", DOMAIN)
    assert dict(info.metadata) == {"layer": "x"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("secret"), Reason.INTERNAL),
        (errors.Internal("secret", where="secret"), Reason.INTERNAL),
        (errors.StorageCorrupt("secret", where="secret"), Reason.STORAGE_CORRUPT),
        (errors.IcecoreError("secret"), Reason.INTERNAL),
    ],
)
def test_a_fault_of_ours_goes_out_without_detail(error: Exception, reason: Reason) -> None:
    failure = status.failure_of(error, request_id="r1")
    message, info = _info(failure)
    assert failure.code is grpc.StatusCode.INTERNAL
    assert info.reason == reason
    assert "'r1'" in message.message, "the sentence does not say where to look"
    assert b"secret" not in message.SerializeToString()


@pytest.mark.parametrize("text", ["x" * 10**6, "é" * 10**6, "\U0001f9ca" * 10**6, "a\nb\ud800"])
def test_a_sentence_always_fits_into_the_trailers(text: str) -> None:
    failure = status.failure_of(errors.NameInvalid(text, name=text), request_id="r1")
    message, _ = _info(failure)
    assert len(message.message.encode()) <= status.MAX_MESSAGE_BYTES
    assert "\n" not in message.message
    assert len(message.SerializeToString()) < 2000

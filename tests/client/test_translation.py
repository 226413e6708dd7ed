"""Every error of gRPC becomes one of ours, with the server's reason."""

import grpc
import pytest

import icecore.client as face
from fake_server import Refusal, details_of
from icecore.client import errors
from icecore.client._translation import CLASSES, translate
from icecore.server.errors import ImagesInFlightExceeded
from icecore.server.rpc.status import failure_of

PATH, TARGET = "/icecore.v1.CodesService/Embed", "unix:/x.sock"


class Raised:
    """What gRPC raises, as far as it is read."""

    def __init__(
        self, code: grpc.StatusCode, sentence: str, metadata: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        self._code, self._sentence, self._metadata = code, sentence, metadata

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._sentence

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self._metadata


def sent_by_us(code: grpc.StatusCode, domain: str = "icecore") -> Raised:
    refusal = Refusal(code, "layer 'x' is not there", "LAYER_NOT_FOUND", near="y")
    status = details_of(refusal, domain)
    return Raised(code, status.message, (("grpc-status-details-bin", status.SerializeToString()),))


def tree(root: type[errors.IcecoreError]) -> set[type[errors.IcecoreError]]:
    return {root}.union(*(tree(child) for child in root.__subclasses__()))


def test_every_status_of_grpc_has_a_class() -> None:
    assert set(CLASSES) == set(grpc.StatusCode)


def test_every_class_but_the_clients_own_has_a_status() -> None:
    own = {errors.IcecoreError, errors.TrainingFailed, errors.LocalServerError}
    assert tree(errors.IcecoreError) - own == set(CLASSES.values())


def test_every_class_is_public_and_in_the_drawing() -> None:
    for cls in tree(errors.IcecoreError):
        assert getattr(face, cls.__name__) is cls
        assert cls.__name__ in face.__all__
        assert cls.__name__ in str(errors.__doc__)


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_the_servers_reason_sentence_and_details_arrive(code: grpc.StatusCode) -> None:
    error = translate(sent_by_us(code), PATH, TARGET)
    assert type(error) is CLASSES[code]
    assert (str(error), error.reason) == ("layer 'x' is not there", "LAYER_NOT_FOUND")
    assert error.details == {"near": "y"}


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_what_nobody_of_ours_said_names_the_address_and_has_a_reason(
    code: grpc.StatusCode,
) -> None:
    error = translate(Raised(code, "two\nlines"), PATH, TARGET)
    assert type(error) is CLASSES[code]
    assert error.reason == code.name
    assert TARGET in str(error)
    assert "\n" not in str(error)


def test_a_reason_of_somebody_elses_domain_is_not_ours() -> None:
    error = translate(sent_by_us(grpc.StatusCode.NOT_FOUND, "example.org"), PATH, TARGET)
    assert error.reason == "NOT_FOUND"


def test_details_that_cannot_be_read_do_not_hide_the_error() -> None:
    raised = Raised(grpc.StatusCode.NOT_FOUND, "no", (("grpc-status-details-bin", b"\xff\xff"),))
    assert translate(raised, PATH, TARGET).reason == "NOT_FOUND"


def test_an_error_that_is_no_errors_at_all_has_no_metadata() -> None:
    raised = Raised(grpc.StatusCode.UNAVAILABLE, "connection refused")
    raised._metadata = None  # type: ignore[assignment] # as gRPC does
    assert str(translate(raised, PATH, TARGET)) == (
        "no server answers at 'unix:/x.sock': connection refused"
    )


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused (111)", "refused"),
        ("UNAVAILABLE: ipv4:1.2.3.4:5: Socket closed", "the connection was closed"),
        ("SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: unable", "nor of the file that ca names"),
        ("something new", "something new"),
    ],
)
def test_why_no_server_answers_is_said_in_short(theirs: str, ours: str) -> None:
    error = translate(Raised(grpc.StatusCode.UNAVAILABLE, theirs), PATH, TARGET)
    assert str(error).startswith("no server answers at 'unix:/x.sock': ")
    assert str(error).endswith(ours)


@pytest.mark.parametrize("said", [None, 0.0, 0.001, 1.5, 90.0])
def test_when_to_come_again_arrives_as_the_server_says_it(said: float | None) -> None:
    failure = failure_of(ImagesInFlightExceeded("full", retry_after_s=said), request_id="r")
    raised = Raised(failure.code, failure.message, failure.trailers("r"))  # type: ignore[arg-type]
    error = translate(raised, PATH, TARGET)
    assert isinstance(error, errors.ResourceExhausted)
    if said is None:
        assert error.retry_after_s is None
    else:
        assert error.retry_after_s == pytest.approx(max(said, 0.001)), "a millisecond at least"


def test_a_call_that_a_server_cancels_while_it_ends_may_be_sent_again() -> None:
    """And one that was cancelled here was meant to be."""
    theirs = translate(Raised(grpc.StatusCode.CANCELLED, "CANCELLED"), PATH, TARGET)
    ours = translate(
        Raised(grpc.StatusCode.CANCELLED, "Locally cancelled by application!"), PATH, TARGET
    )
    assert type(theirs) is errors.Unavailable
    assert type(ours) is errors.Cancelled

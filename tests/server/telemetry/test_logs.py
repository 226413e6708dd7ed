"""Log lines are JSON, one a line, and hold what they should."""

import io
import json
import logging
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from icecore.server import telemetry
from icecore.server.tenants import new_secret


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[io.StringIO])
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, telemetry.LOGGER.level)
    stream: io.StringIO = request.param()
    telemetry.log_to(stream)
    yield stream
    root.handlers[:], level, own = before
    root.setLevel(level)
    telemetry.LOGGER.setLevel(own)


def test_each_call_is_one_line_of_json(lines: io.StringIO) -> None:
    telemetry.log_rpc(request_id="r", method="/icecore.v1.X/Y", tenant="t", status="OK", ms=1.23456)
    for asked in ("grpc.health.v1.Health/Check", "inference.GRPCInferenceService/ServerReady"):
        telemetry.log_rpc(request_id="r", method=f"/{asked}", tenant="", status="OK", ms=1.0)
    (line,) = lines.getvalue().splitlines()
    fields = json.loads(line)
    assert fields.pop("time").endswith("+00:00")
    assert fields == {
        "level": "info",
        "event": "rpc",
        "request_id": "r",
        "method": "/icecore.v1.X/Y",
        "tenant": "t",
        "status": "OK",
        "ms": 1.235,
    }


def test_a_fault_keeps_its_traceback_and_its_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("several\nlines")
    except ValueError as error:
        telemetry.log_fault("fault", error, request_id="r")
    (line,) = lines.getvalue().splitlines()
    assert "ValueError: several\nlines" in json.loads(line)["traceback"]


def test_text_from_outside_cannot_forge_a_line(lines: io.StringIO) -> None:
    telemetry.log("event", request_id='x"}\n{"event": "forged"')
    assert len(lines.getvalue().splitlines()) == 1


def test_a_key_that_a_fault_quotes_is_not_written(lines: io.StringIO) -> None:
    secret = new_secret().text
    try:
        raise ValueError(f"cannot read {secret!r}")
    except ValueError as error:
        telemetry.log_fault("fault", error, quoted=f"Bearer {secret}")
    logging.getLogger("other").warning("sent %s", secret)
    assert secret not in lines.getvalue()
    assert lines.getvalue().count("icecore_(a key)") == 3


def test_the_time_is_that_of_the_record(lines: io.StringIO) -> None:
    """To the millisecond, also where several lines share a second."""
    before = time.time()
    for _ in range(3):
        telemetry.log("event")
    after = time.time()
    for line in lines.getvalue().splitlines():
        written = datetime.fromisoformat(json.loads(line)["time"]).timestamp()
        assert before - 0.001 <= written <= after


def test_a_trace_is_named_where_there_is_one(lines: io.StringIO) -> None:
    call = {"request_id": "r", "method": "/s/M", "tenant": "t", "status": "OK", "ms": 1.0}
    telemetry.log_rpc(**call, trace_id="0af7")  # type: ignore[arg-type] # of several types
    telemetry.log_rpc(**call)  # type: ignore[arg-type]
    first, second = (json.loads(line) for line in lines.getvalue().splitlines())
    assert first["trace_id"] == "0af7"
    assert "trace_id" not in second


def test_other_libraries_are_logged_the_same_way(lines: io.StringIO) -> None:
    logging.getLogger("other").warning("careful %s", "there")
    logging.getLogger("other").info("chatter")
    (line,) = lines.getvalue().splitlines()
    assert json.loads(line)["event"] == "careful there"


@pytest.mark.parametrize("lines", [Terminal], indirect=True)
def test_at_a_terminal_lines_are_words(lines: io.StringIO) -> None:
    telemetry.log("serving", address="unix:/a b/s", listen="127.0.0.1:1", empty="", pid=7)
    telemetry.log("odd", level=logging.WARNING, name="\x1b[31m\n")
    first, second = lines.getvalue().splitlines()
    assert first[8:] == ' serving address="unix:/a b/s" listen=127.0.0.1:1 pid=7'
    assert second[8:] == ' warning odd name="\\u001b[31m\\n"'


@pytest.mark.parametrize("lines", [Terminal], indirect=True)
def test_a_person_reads_what_took_how_long_as_words(lines: io.StringIO) -> None:
    telemetry.log("serving", start_ms={"imports": 12, "to listen": 3})
    assert lines.getvalue().rstrip().endswith('serving start_ms=imports:12,"to listen":3')

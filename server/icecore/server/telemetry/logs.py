"""Structured log lines on standard error: one JSON object a line, for a terminal words.

What is logged about a call is its id, method, tenant, status and time. Keys,
metadata, images and labels never are; a fault of ours is logged with its traceback.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TextIO

LOGGER: Final = logging.getLogger("icecore")

_FIELDS: Final = "icecore_fields"
_ASKED_OFTEN: Final = (
    "/grpc.health.",
    "/grpc.reflection.",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)

# As `tenants.new_secret` makes them. None is ever logged; the text of a fault might quote one.
_KEY: Final = re.compile(r"icecore_[A-Za-z0-9_-]{43}")

# Kept: `json.dumps` makes one anew for each line with settings other than its own.
_to_json: Final = json.JSONEncoder(ensure_ascii=False, default=repr).encode


class JsonLines(logging.Formatter):
    """One record as one line of JSON: time, level, event, then its own fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, object] = getattr(record, _FIELDS, {})
        seconds, milliseconds = divmod(int(record.created * 1000), 1000)
        line: dict[str, object] = {
            "time": f"{_to_the_second(seconds)}.{milliseconds:03}+00:00",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **fields,
        }
        if record.name != LOGGER.name:
            line["logger"] = record.name
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _without_keys(_to_json(line))


class PlainLines(JsonLines):
    """The same for a person at a terminal: time of day, event, and the fields that say any."""

    def format(self, record: logging.LogRecord) -> str:
        fields = json.loads(super().format(record))
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level, event = fields.pop("level"), fields.pop("event")
        del fields["time"]
        trace = fields.pop("traceback", "")
        shown = [f"{name}={_shown(value)}" for name, value in fields.items() if value]
        event = event if event.isprintable() else json.dumps(event)
        line = " ".join([time, *([] if level == "info" else [level]), event, *shown])
        return f"{line}\n{trace}" if trace else line


def _without_keys(line: str) -> str:
    return _KEY.sub("icecore_(a key)", line) if "icecore_" in line else line


@lru_cache(maxsize=4)
def _to_the_second(seconds: int) -> str:
    """Return a time since 1970 as UTC's date and time of day; many lines share a second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def log(event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one line. `event` is a short constant word or two; what varies goes into fields."""
    if LOGGER.isEnabledFor(level):
        # Not LOGGER.log, which looks through the stack for who called: no line tells it.
        record = logging.LogRecord(LOGGER.name, level, "", 0, event, None, None)
        setattr(record, _FIELDS, fields)
        LOGGER.handle(record)


def log_fault(event: str, error: BaseException, **fields: object) -> None:
    """Write one line with the error's whole traceback."""
    LOGGER.error(event, exc_info=error, extra={_FIELDS: fields})


def log_rpc(
    *, request_id: str, method: str, tenant: str, status: str, ms: float, trace_id: str = ""
) -> None:
    """Write the one line that each call gets; calls of people, not health checks, are at INFO."""
    quiet = method.startswith(_ASKED_OFTEN)
    fields: dict[str, object] = {
        "request_id": request_id,
        "method": method,
        "tenant": tenant,
        "status": status,
        "ms": round(ms, 3),
    }
    if trace_id:
        fields["trace_id"] = trace_id
    log("rpc", level=logging.DEBUG if quiet else logging.INFO, **fields)


def log_to(stream: TextIO = sys.stderr, *, level: int = logging.INFO) -> None:
    """Send the lines of this process there; the second call replaces the first."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainLines() if stream.isatty() else JsonLines())
    logging.captureWarnings(True)  # libraries warn about images in lines of their own else
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(level)


def _shown(value: object) -> str:
    """A value whose ends can be seen, without what would move a terminal's cursor."""
    if isinstance(value, dict):
        return ",".join(f"{_shown(name)}:{_shown(one)}" for name, one in value.items())
    text = str(value)
    is_plain = text.isprintable() and not any(character in text for character in " ='\"")
    return text if is_plain else json.dumps(text)

"""Whether spans are made, and where they go; OpenTelemetry is imported only if they are."""

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from icecore.server.telemetry.logs import log

if TYPE_CHECKING:
    from icecore.server.telemetry.traces import Traces

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def wanted_traces(
    choice: str, *, version: str, environment: Mapping[str, str] | None = None
) -> "Traces | None":
    """Return what makes spans, None where none are wanted.

    Args:
        choice: an URL; "off"; or "auto": if the OTEL_... variables name a collector.
        version: icecore's, for the spans.
        environment: instead of the process's own.

    Raises:
        ModuleNotFoundError: an URL is given, and OpenTelemetry is not installed.
    """
    given = os.environ if environment is None else environment
    if choice == "off" or given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if choice != "auto":
        from icecore.server.telemetry.traces import traces_by_grpc

        return traces_by_grpc(choice, version=version)
    exporter = given.get("OTEL_TRACES_EXPORTER", "")
    is_named = any(given.get(name) for name in _ENDPOINTS)
    if not ("otlp" in exporter.split(",") or (is_named and not exporter)):
        return None
    protocol = next((given[name] for name in _PROTOCOLS if given.get(name)), "grpc")
    if protocol != "grpc":
        _say_off(f"traces go by grpc, but the OTEL_... variables ask for {protocol!r}")
        return None
    try:
        from icecore.server.telemetry.traces import traces_by_grpc
    except ModuleNotFoundError as error:
        _say_off(f"{error.name!r} is missing: pip install 'icecore[traces]'")
        return None
    return traces_by_grpc(None, version=version)


def _say_off(reason: str) -> None:
    log("traces off", level=logging.WARNING, reason=reason)

"""Which trace of OpenTelemetry the caller is in, as headers of W3C: spans of a server join it.

Costs no import: who has not imported OpenTelemetry is in no trace.
"""

import sys


def headers() -> tuple[tuple[str, str], ...]:
    """Return `traceparent`, and `tracestate` if there is one; nothing outside of a span."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return ()
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ()
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    state = context.trace_state.to_header()
    return (("traceparent", parent), *((("tracestate", state),) if state else ()))

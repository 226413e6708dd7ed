"""A call from its first byte to its status: counted, timed, traced, and one log line.

The door begins and ends it. Its times also go to the caller, in the trailer
`server-timing` of every answer, written as the W3C's Server Timing is.
"""

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeAlias

from icecore.server.telemetry import logs, stages
from icecore.server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from icecore.server.telemetry.traces import Traces

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]

TIMING_KEY: Final = "server-timing"


class Watch:
    """Watches the calls of one server.

    Args:
        traces: where spans go; None: there are none, and nothing is done for them.
    """

    def __init__(self, metrics: Metrics, traces: "Traces | None" = None) -> None:
        self.metrics = metrics
        self.traces = traces

    def begin(self, method: str, request_id: str, metadata: Metadata) -> "Watched":
        """Watch the call that this task serves. `method` is one that is served."""
        return Watched(self, method, request_id, metadata)


class Watched:
    """One call under way."""

    __slots__ = ("_metadata", "_stages", "_watch", "began", "method", "request_id")

    def __init__(self, watch: Watch, method: str, request_id: str, metadata: Metadata) -> None:
        self.method = method
        self.request_id = request_id
        self.began = perf_counter()
        self._watch = watch
        self._metadata = metadata
        self._stages = stages.begin()

    def timing(self) -> str:
        """Return the value of the trailer, in milliseconds up to now.

        Such as "total;dur=31.204", and where something was embedded its
        "queue;dur=…, decode;dur=…, compute;dur=…" after it.
        """
        spent = self._stages
        total = f"total;dur={(perf_counter() - self.began) * 1e3:.3f}"
        if not spent.n_embeddings:
            return total
        return (
            f"{total}, queue;dur={spent.queue_s * 1e3:.3f}, "
            f"decode;dur={spent.decode_s * 1e3:.3f}, compute;dur={spent.compute_s * 1e3:.3f}"
        )

    def rejected(self, reason: str, tenant: str) -> None:
        """Count that the call is turned away, for now or for good, since something is full."""
        self._watch.metrics.call_rejected(reason, tenant)

    def end(self, status: str, tenant: str) -> None:
        """Tell of the call; to be called once.

        Args:
            status: name of its gRPC status.
            tenant: whose call it was; "" where it was nobody's.
        """
        ended = perf_counter()
        spent = self._stages
        spent.is_over = True
        self._watch.metrics.call_ended(self.method, status, tenant, ended - self.began)
        trace_id = ""
        if self._watch.traces is not None:
            trace_id = self._watch.traces.call_ended(
                method=self.method,
                request_id=self.request_id,
                tenant=tenant,
                status=status,
                metadata=self._metadata,
                began=self.began,
                ended=ended,
                stages=spent,
            )
        if logs.LOGGER.isEnabledFor(logging.INFO):
            logs.log_rpc(
                request_id=self.request_id,
                method=self.method,
                tenant=tenant,
                status=status,
                ms=(ended - self.began) * 1e3,
                trace_id=trace_id,
            )

"""Where calls are let in and leave: held to quotas and bounds, and counted."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from icecore.server.embedding.gathering import Timings
from icecore.server.embedding.images import size_of
from icecore.server.embedding.orders import Order
from icecore.server.embedding.scheduling.allowances import Allowances
from icecore.server.embedding.scheduling.bounds import Bounds
from icecore.server.embedding.scheduling.pieces import Piece, Stay
from icecore.server.telemetry.metrics import Metrics
from icecore.wire.reasons import Reason


class Entrance:
    """Lives on one event loop; `allowances` are the tenants', `bounds` those of the house."""

    def __init__(self, allowances: Allowances, bounds: Bounds, metrics: Metrics) -> None:
        self._allowances = allowances
        self._bounds = bounds
        self._metrics = metrics

    @contextmanager
    def room(
        self, order: Order, cost_ms: float, *, is_background: bool, may_wait: bool
    ) -> Iterator[Stay]:
        """Hold the tenant to its quota and the house to its bounds.

        Raises:
            RateLimited, ImagesInFlightExceeded: the tenant's quota.
            Overloaded: the images would wait too long, or past the deadline.
        """
        tenant_id, images = order.tenant_id, order.images
        with (
            nullcontext() if is_background else self._allowances.take(tenant_id, len(images)),
            self._bounds.admit(
                tenant_id,
                len(images),
                cost_ms=cost_ms,
                n_bytes=sum(map(size_of, images)),
                weight=self._allowances.weight(tenant_id),
                priority=order.priority,
                may_wait=is_background or may_wait,
                deadline=order.deadline,
            ) as stay,
        ):
            stay.account = self._allowances.account(tenant_id)
            yield stay

    def ended(self, stay: Stay) -> None:
        """Count one image of a call as answered."""
        self._bounds.ended(stay)

    def ran(self, piece: Piece, cpu_ms: float) -> None:
        """Take note that a piece took so much of the processor."""
        self._bounds.served(cpu_ms)
        self._allowances.done(piece.stay.account, n_images=0, cpu_s=cpu_ms / 1e3)

    def answered(self, order: Order, stay: Stay, timings: Timings) -> None:
        """Count a call that has its codes."""
        n_images = len(order.images)
        self._allowances.done(stay.account, n_images=n_images, n_cached=timings.n_cached)
        self._metrics.images_done(
            backbone=order.backbone.name,
            layer=order.deepest,
            tenant_id=order.tenant_id,
            n_images=n_images,
            queue_s=timings.queue_ms / 1e3,
            decode_s=timings.decode_ms / 1e3,
            compute_s=timings.compute_ms / 1e3,
            total_s=timings.total_ms / 1e3,
        )

    def refused(self, order: Order, reason: str) -> None:
        """Count a call that was not let in, or lost its room."""
        self._metrics.rejected(reason, order.tenant_id, len(order.images))

    def away_s(self, tenant_id: str) -> float | None:
        """Return when to come again, and count one image turned away; see `Embedder.away_s`."""
        away_s = self._bounds.away_s(tenant_id)
        if away_s is not None:
            self._metrics.rejected(Reason.OVERLOADED, tenant_id, 1)
            self._allowances.rejected(tenant_id, 1)
        return away_s

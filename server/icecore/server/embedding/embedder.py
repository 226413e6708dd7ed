"""Images to codes: check, look up, take turns, run off the event loop, gather."""

from collections.abc import Sequence
from functools import partial
from time import perf_counter

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.caching.code_cache import CodeCache
from icecore.server.embedding.caching.disk import DiskCache
from icecore.server.embedding.caching.memory import MemoryCache
from icecore.server.embedding.entrance import Entrance
from icecore.server.embedding.filling import Filling
from icecore.server.embedding.gathering import Embedded, Gathering, Timings, checked_dtype
from icecore.server.embedding.images import ImageInput
from icecore.server.embedding.orders import CALL_LIMITS, CallLimits, Order
from icecore.server.embedding.scheduling.allowances import Allowances
from icecore.server.embedding.scheduling.bounds import MAX_QUEUE_MS, Bounds
from icecore.server.embedding.scheduling.costs import Costs, Guess
from icecore.server.embedding.scheduling.pieces import Piece, Priority, Stay
from icecore.server.embedding.scheduling.turns import Turns
from icecore.server.embedding.working.plan_file import PlanFile
from icecore.server.embedding.working.planner import Planner
from icecore.server.embedding.working.plans import naive_plan
from icecore.server.embedding.working.workers import Workers
from icecore.server.errors import ResourceExhausted
from icecore.server.telemetry.metrics import Metrics
from icecore.wire.taps import TapId

__all__ = ["CallLimits", "Embedded", "Embedder", "Priority", "Timings"]


class Embedder:
    """Runs the cut networks of `sessions` on images, `threads` of them at once.

    Args:
        cache_bytes: of codes kept in memory; 0 keeps none.
        disk: where codes are kept beyond a restart, if anywhere.
        max_queue_ms: what a call may wait; see `Bounds`.
        allowances: the tenants' quotas, to which they are held here.
        plan_file: where it is kept how each backbone runs best; None: not measured.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        threads: int,
        max_queue_ms: float = MAX_QUEUE_MS,
        allowances: Allowances | None = None,
        limits: CallLimits = CALL_LIMITS,
        cache_bytes: int = 0,
        disk: DiskCache | None = None,
        plan_file: PlanFile | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = Metrics() if metrics is None else metrics
        self._limits = limits
        # Of one call in line at once: enough to keep all threads at work while the event loop
        # is busy with others, since a tenant without a piece in line loses its turn.
        self._ahead = max(8, 2 * threads)
        self._costs = Costs(max_pixels=limits.image.max_pixels)
        bounds = Bounds(threads=threads, max_queue_ms=max_queue_ms)
        self._entrance = Entrance(
            Allowances() if allowances is None else allowances, bounds, self._metrics
        )
        self._turns = Turns(metrics=self._metrics)
        self._planner = Planner(
            sessions,
            plan_file,
            threads=threads,
            naive=naive_plan(threads, is_cpu=sessions.device.is_cpu),
            is_busy=lambda: self._workers.is_busy,
        )
        self._workers = Workers(
            sessions,
            self._turns,
            threads=threads,
            plans=self._planner.plans,
            saw=self._planner.saw,
            ended=self._entrance.ran,
            metrics=self._metrics,
        )
        self._cache = CodeCache(MemoryCache(cache_bytes), disk, self._give_up, self._metrics)
        for name, text, read in (
            ("waiting_images", "Images that wait for a turn.", lambda: self._turns.n_waiting),
            ("images_in_flight", "Images of calls in hand.", lambda: bounds.n_images),
            ("image_bytes_in_flight", "Bytes they hold.", lambda: bounds.n_bytes),
            ("cache_bytes", "Codes kept in memory.", lambda: self._cache.n_bytes),
        ):
            self._metrics.gauge(name, text, read)

    async def embed(
        self,
        backbone: Backbone,
        taps: Sequence[TapId],
        images: Sequence[ImageInput],
        *,
        dtype: npt.DTypeLike = np.float32,
        tenant_id: str = "",
        names: Sequence[str] = (),
        is_background: bool = False,
        may_wait: bool = False,
        is_cached: bool = False,
        priority: Priority = Priority.INTERACTIVE,
        deadline: float | None = None,
    ) -> Embedded:
        """Return the codes of the images at the taps, from one pass.

        Args:
            backbone: the one that all taps belong to.
            taps: at least one; several cost one pass up to the deepest.
            images: at least one.
            dtype: float32 or float16.
            tenant_id: tenants take turns, and share no codes.
            names: what to call each image in an error; none: "image 0" and so on.
            is_background: work of the server's own for the tenant, such as training: bulk,
                never refused, and not held to the tenant's quota.
            may_wait: not refused for how long it would wait; for callers that send one
                batch at a time.
            is_cached: take codes that are known, keep those that are not, and join
                other calls that want the same.
            priority: among the tenant's own images.
            deadline: of `time.monotonic`; images are not started after it.

        Raises:
            ImagesEmpty, ImagesTooMany, DTypeInvalid, TapMismatch: before anything is done.
            TensorInvalid, ImageTooLarge, ImageTruncated, ImageInvalid: naming
                the first bad image; `details["image"]` is its index.
            DTypeOverflow: a value passes float16.
            RateLimited, ImagesInFlightExceeded: the tenant's quota.
            Overloaded: they would wait too long, or past the deadline.
            DeadlineExceeded: it passed before their turn came.
            ShuttingDown: the embedder is closed.
        """
        began = perf_counter()
        wanted = checked_dtype(dtype)
        order = Order(
            backbone=backbone,
            taps=tuple(taps),
            images=images,
            names=names,
            tenant_id=tenant_id,
            priority=Priority.BULK if is_background else priority,
            deadline=deadline,
            limits=self._limits,
        )
        order.check()
        gathering = Gathering(order.taps, order.shapes, len(images), wanted, name_of=order.name_of)
        alone = self._costs.guess(backbone, order.taps, images[0]) if len(images) == 1 else None
        cost_ms = self._costs.mean_ms(backbone, taps, images) if alone is None else alone.cost_ms
        try:
            with self._entrance.room(
                order, cost_ms, is_background=is_background, may_wait=may_wait
            ) as stay:
                filling = Filling(
                    order,
                    gathering,
                    ahead=self._ahead,
                    cache=self._cache if is_cached else None,
                    submit=partial(self._submit, stay, order, alone),
                    give_up=self._give_up,
                    hasten=self._turns.hasten,
                    ended=partial(self._entrance.ended, stay),
                )
                await filling.run()
        except ResourceExhausted as error:
            self._entrance.refused(order, error.reason)
            raise
        embedded = gathering.finish((perf_counter() - began) * 1e3)
        self._entrance.answered(order, stay, embedded.timings)
        return embedded

    async def forget(self, tenant_id: str) -> None:
        """Let the codes go that are kept of a tenant."""
        await self._cache.forget(tenant_id)

    def close(self) -> None:
        """Let running work end and refuse the rest. Idempotent; the sessions stay open."""
        self._planner.close()
        self._workers.close()
        self._cache.close()

    def away_s(self, tenant_id: str) -> float | None:
        """Return when to come again, where no call of a tenant would be taken now; None else.

        To be asked before anything else is known of a call, which counts as one image
        turned away.
        """
        return self._entrance.away_s(tenant_id)

    def _submit(self, stay: Stay, order: Order, alone: Guess | None, piece: Piece) -> None:
        """Put a piece in line; `alone` is the guess for the only image of an order."""
        piece.stay = stay
        guess = alone if piece.taps == order.taps else None
        if guess is None and piece.image is not None:
            guess = self._costs.guess(piece.backbone, piece.taps, piece.image)
        if guess is not None:
            piece.guess, piece.cost_ms = guess, guess.cost_ms
        self._workers.submit(piece)

    def _give_up(self, piece: Piece) -> None:
        self._turns.forget(piece)
        piece.answer.cancel()

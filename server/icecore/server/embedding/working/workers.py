"""The threads that take pieces to their end: prepare the image, run the network, keep the codes.

On a processor one thread does all of it, so that a piece changes hands twice and no more:
from the event loop to a worker and back.
"""

from collections.abc import Callable
from threading import Lock, Thread
from time import monotonic, perf_counter, thread_time

from icecore.server import telemetry
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.cores import IdleCores
from icecore.server.embedding.scheduling.lateness import late_by
from icecore.server.embedding.scheduling.pieces import Piece, Ran
from icecore.server.embedding.scheduling.turns import Turns
from icecore.server.embedding.working.passes import Passes, Ready, Spent
from icecore.server.embedding.working.plans import Plans, naive_plan
from icecore.server.errors import IcecoreError, Internal, ShuttingDown, forget_frames
from icecore.server.telemetry.metrics import Metrics


class Workers:
    """`threads` threads, started with the first piece.

    Args:
        plans: how each backbone is run; by default the naive way.
        saw: told of each backbone that ran, in a worker thread.
        ended: told on the event loop of each piece that has ended, well or not, and of the
            CPU-milliseconds it took.
    """

    def __init__(
        self,
        sessions: Sessions,
        turns: Turns,
        *,
        threads: int,
        plans: Plans | None = None,
        saw: Callable[[Backbone], None] | None = None,
        ended: Callable[[Piece, float], None] | None = None,
        metrics: Metrics | None = None,
        idle_cores: IdleCores | None = None,
    ) -> None:
        self._idle_cores = IdleCores() if idle_cores is None else idle_cores
        self._ended = ended
        self._metrics = Metrics() if metrics is None else metrics
        self._turns = turns
        is_cpu = sessions.device.is_cpu
        self._plans = Plans(naive_plan(threads, is_cpu=is_cpu)) if plans is None else plans
        self._passes = Passes(
            sessions, self._plans, turns.is_late, self._tell, metrics=self._metrics
        )
        self._takes_batches = is_cpu  # elsewhere they form of what is prepared
        self._saw = saw
        self._n_at_work = 0
        self._n_threads = threads
        self._threads: list[Thread] = []
        self._lock = Lock()

    @property
    def is_busy(self) -> bool:
        return self._n_at_work > 0 or self._turns.n_waiting > 0

    def submit(self, piece: Piece) -> None:
        """Raises ShuttingDown: closed."""
        self._turns.put(piece)
        if len(self._threads) < self._n_threads:
            self._start()

    def close(self) -> None:
        """Let running pieces end and refuse the rest. Idempotent."""
        for piece in self._turns.close():
            error = ShuttingDown("the server shut down before these images had their turn")
            if not piece.answer.done():
                piece.answer.set_exception(error)
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        with self._lock:
            thread = Thread(target=self._work, name=f"embed-{len(self._threads)}")
            thread.start()
            self._threads.append(thread)

    def _work(self) -> None:
        while (piece := self._turns.take()) is not None:
            with self._lock:
                self._n_at_work += 1
                is_lone = self._n_at_work == 1 and not self._turns.n_waiting
            try:
                self._run(piece, is_lone=is_lone)
            finally:
                with self._lock:
                    self._n_at_work -= 1
            del piece  # while it waits for the next

    def _run(self, piece: Piece, *, is_lone: bool) -> None:
        """Take a piece to its end, and what waits for the same pass with it."""
        plan = self._plans.of(piece.backbone.digest)
        pieces = [piece]
        if self._takes_batches and plan.batch > 1 and not is_lone:
            # No more than its share: others may have nothing to do.
            share = -(-self._turns.n_waiting // self._n_threads)
            pieces += self._turns.take_more(
                lambda other: other.backbone.digest == piece.backbone.digest,
                min(plan.batch - 1, share),
            )
        try:
            ready = [one for one in map(self._prepare, pieces) if one is not None]
            if ready:
                # A part that waits for a core holds up all others of its pass.
                is_wide = is_lone and self._idle_cores.at_least(plan.lone_threads - 1)
                self._passes.run(ready, threads=plan.lone_threads if is_wide else 1)
        except BaseException as error:  # a mistake of ours: told, and the thread goes on
            telemetry.log_fault("worker_failed", error)
            for one in pieces:
                one.fail(error)
            return
        if self._saw is not None:
            try:
                self._saw(piece.backbone)
            except Exception as error:  # the pieces have their codes, or will
                telemetry.log_fault("not_planned", error)

    def _prepare(self, piece: Piece) -> Ready | None:
        """Prepare a piece's image; None where it cannot be, or not in time: its caller is told."""
        began, cpu = perf_counter(), thread_time()
        if self._turns.is_late(piece):  # while others of its batch were prepared
            return None
        if (left_by := late_by(piece, monotonic())) is not None:
            self._metrics.started_late(left_by)
        try:
            inputs = piece.prepare()
        except BaseException as error:  # told to the caller, who raises it
            self._tell(piece, error, _one_thread((thread_time() - cpu) * 1e3))
            return None
        spent = _one_thread((thread_time() - cpu) * 1e3)
        return Ready(piece, inputs, began, perf_counter(), spent)

    def _tell(self, piece: Piece, outcome: Ran | BaseException, spent: Spent) -> None:
        """Settle a piece, and have its caller told on the event loop."""
        self._turns.settle(piece, spent.held_ms)
        if isinstance(outcome, IcecoreError) and not isinstance(outcome, Internal):
            forget_frames(outcome)  # of this image
        if isinstance(outcome, Ran) and piece.guess is not None:
            piece.guess.learn(outcome)

        def tell() -> None:
            if self._ended is not None:
                self._ended(piece, spent.cpu_ms)
            if piece.answer.done():
                return  # the caller left
            if isinstance(outcome, Ran):
                piece.answer.set_result(outcome)
            else:
                piece.answer.set_exception(outcome)

        piece.answer.get_loop().call_soon_threadsafe(tell)


def _one_thread(cpu_ms: float) -> Spent:
    return Spent(cpu_ms, cpu_ms)

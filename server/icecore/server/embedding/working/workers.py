"""The threads that take pieces to their end: prepare the image, run the network, keep the codes.

One thread does all of it, so that a piece changes hands twice and no more: from the event
loop to a worker and back.
"""

from collections.abc import Callable
from threading import Lock, Thread
from time import monotonic, perf_counter, thread_time

from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.scheduling.lateness import late_by
from icecore.server.embedding.scheduling.pieces import Piece, Ran
from icecore.server.embedding.scheduling.turns import Turns
from icecore.server.errors import ShuttingDown
from icecore.server.telemetry.metrics import Metrics


class Workers:
    """`threads` threads, started with the first piece.

    Args:
        ended: told on the event loop of each piece that has ended, well or not, and of the
            CPU-milliseconds it took.
    """

    def __init__(
        self,
        sessions: Sessions,
        turns: Turns,
        *,
        threads: int,
        ended: Callable[[Piece, float], None] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._ended = ended
        self._metrics = Metrics() if metrics is None else metrics
        self._sessions = sessions
        self._turns = turns
        self._n_threads = threads
        self._threads: list[Thread] = []
        self._lock = Lock()

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
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (piece := self._turns.take()) is not None:
            loop = piece.answer.get_loop()
            loop.call_soon_threadsafe(self._run(piece))

    def _run(self, piece: Piece) -> Callable[[], None]:
        """Take a piece to its end; return what tells it on the event loop."""
        began, cpu = perf_counter(), thread_time()
        if (left_by := late_by(piece, monotonic())) is not None:
            self._metrics.started_late(left_by)
        try:
            inputs = piece.prepare()
            prepared, before = perf_counter(), thread_time()
            codes = self._sessions.run(piece.backbone, piece.taps, inputs[None])
            deepest = max(map(piece.backbone.layer_of, piece.taps), key=lambda one: one.macs)
            self._metrics.pass_ended(
                backbone=piece.backbone.name,
                layer=deepest.name,
                n_images=1,
                cpu_s=thread_time() - before,
            )
            piece.keep([array[0] for array in codes])
        except BaseException as error:  # told to the caller, who raises it
            return self._telling(piece, error, (thread_time() - cpu) * 1e3)
        ended = perf_counter()
        ran = Ran(
            queue_ms=(began - piece.since) * 1e3,
            decode_ms=(prepared - began) * 1e3,
            compute_ms=(ended - prepared) * 1e3,
            cpu_ms=(thread_time() - cpu) * 1e3,
        )
        if piece.guess is not None:
            piece.guess.learn(ran)
        return self._telling(piece, ran, ran.cpu_ms)

    def _telling(
        self, piece: Piece, outcome: Ran | BaseException, cpu_ms: float
    ) -> Callable[[], None]:
        self._turns.settle(piece, cpu_ms)

        def tell() -> None:
            if self._ended is not None:
                self._ended(piece, cpu_ms)
            if piece.answer.done():
                return  # the caller left
            if isinstance(outcome, Ran):
                piece.answer.set_result(outcome)
            else:
                piece.answer.set_exception(outcome)

        return tell

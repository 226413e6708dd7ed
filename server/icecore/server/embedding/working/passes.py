"""Passes of networks over prepared pieces, one or several at a time.

On a processor the thread that prepared the images runs them. A GPU takes few passes at
once: there, whoever finds it free runs what is ready by then, in batches as large as the
plan allows; others go on preparing. So batches form under load, and nobody waits for one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition
from time import perf_counter, thread_time
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from icecore.server import telemetry
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.scheduling.pieces import Piece, Ran
from icecore.server.embedding.working.plans import Plans
from icecore.server.embedding.working.sharing import Group, shared
from icecore.server.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Spent:
    """What a piece took, in milliseconds: of the processor, and of the worker it held.

    They differ by the time that its worker waited, for a session that was made: others would
    have had it, so the tenant's turns pay for that too.
    """

    cpu_ms: float
    held_ms: float

    def and_(self, cpu_ms: float, held_ms: float | None = None) -> "Spent":
        """Return both with so much more; `held_ms` is as much unless given."""
        more = cpu_ms if held_ms is None else held_ms
        return Spent(self.cpu_ms + cpu_ms, self.held_ms + more)


Told: TypeAlias = Callable[[Piece, Ran | BaseException, Spent], None]


@dataclass(slots=True, eq=False)
class Ready:
    """A piece whose image is prepared: `inputs` without the axis of images, and its times."""

    piece: Piece
    inputs: npt.NDArray[Any]
    began: float
    prepared: float
    spent: Spent


class Passes:
    """Runs what is ready and keeps its codes.

    Args:
        is_late: whether a piece is not to be run any more, after so many milliseconds of a
            worker; it is answered then.
        told: called with each piece, how it ran or why it did not, and what it took.
    """

    def __init__(
        self,
        sessions: Sessions,
        plans: Plans,
        is_late: Callable[[Piece, float], bool],
        told: Told,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        self._sessions = sessions
        self._plans = plans
        self._is_late = is_late
        self._told = told
        self._metrics = Metrics() if metrics is None else metrics
        self._most_at_once = sessions.device.n_passes
        self._changed = Condition()
        self._ready: list[Ready] = []
        self._n_running = 0

    def run(self, ready: Sequence[Ready], *, threads: int = 1) -> None:
        """Have these run, here or by another thread that is about to.

        Args:
            ready: at least one, all of one backbone.
            threads: of the pass.
        """
        if self._most_at_once == 0:
            self._run(ready, threads)
            return
        most = 2 * self._plans.of(ready[0].piece.backbone.digest).batch
        with self._changed:
            self._ready.extend(ready)
            if self._n_running >= self._most_at_once:
                while len(self._ready) >= most and self._n_running:
                    self._changed.wait()
                if not self._ready or self._n_running:
                    return
            self._n_running += 1
        while (some := self._next()) is not None:
            self._run(some, 1)

    def _next(self) -> list[Ready] | None:
        """Take the next batch; None, and one running less, where nothing is ready."""
        with self._changed:
            if not self._ready:
                self._n_running -= 1
                self._changed.notify_all()
                return None
            first = self._ready[0].piece
            batch = self._plans.of(first.backbone.digest).batch
            some = [
                one for one in self._ready if one.piece.backbone.digest == first.backbone.digest
            ]
            some = some[:batch]
            chosen = set(map(id, some))
            self._ready = [one for one in self._ready if id(one) not in chosen]
            self._changed.notify_all()
            return some

    def _run(self, ready: Sequence[Ready], threads: int) -> None:
        """Run a batch. Never raises: others may have left their pieces to this thread."""
        try:
            wanted = [one for one in ready if not self._is_late(one.piece, one.spent.held_ms)]
            if len(wanted) == 1:
                self._pass(Group(wanted[0].piece.taps, wanted), threads)
            elif wanted:
                plan = self._plans.of(wanted[0].piece.backbone.digest)
                for group in shared(wanted, plan, self._sessions):
                    self._pass(group, threads)
        except BaseException as error:  # a mistake of ours
            telemetry.log_fault("pass_failed", error)
            for one in ready:
                one.piece.fail(error)

    def _pass(self, group: "Group[Ready]", threads: int) -> None:
        """One pass; what goes wrong in it is told to all of the group."""
        members = group.members
        backbone = members[0].piece.backbone
        began, cpu = perf_counter(), thread_time()
        try:
            inputs = (
                members[0].inputs[None]
                if len(members) == 1
                else np.stack([one.inputs for one in members])
            )
            readied = self._sessions.readied(backbone, group.taps, inputs, threads=threads)
            ready_at, ready_cpu = perf_counter(), thread_time()
            codes = readied.run()
        except BaseException as error:  # told to the callers, who raise it
            spent_ms = (thread_time() - cpu) * 1e3 / len(members)
            for one in members:
                self._told(one.piece, error, one.spent.and_(spent_ms))
            return
        # The threads of a pool work as long as the pass lasts, in accounts of their own.
        pass_ms = (thread_time() - ready_cpu) * 1e3 * readied.threads / len(members)
        made = Spent(
            (ready_cpu - cpu) * 1e3 / len(members), (ready_at - began) * 1e3 / len(members)
        )
        self._metrics.pass_ended(
            backbone=backbone.name,
            layer=max(map(backbone.layer_of, group.taps), key=lambda one: one.macs).name,
            n_images=len(members),
            cpu_s=pass_ms * len(members) / 1e3,
        )
        places = {tap: place for place, tap in enumerate(group.taps)}
        for row, one in enumerate(members):
            own = [codes[places[tap]][row] for tap in one.piece.taps]
            self._keep(one, own, began, made, pass_ms)

    def _keep(
        self,
        one: Ready,
        codes: list[npt.NDArray[np.float32]],
        began: float,
        made: Spent,
        pass_ms: float,
    ) -> None:
        piece = one.piece
        spent = one.spent.and_(made.cpu_ms, made.held_ms).and_(pass_ms)
        try:
            piece.keep(codes)
        except BaseException as error:  # told to the caller, who raises it
            self._told(piece, error, spent)
            return
        ran = Ran(
            queue_ms=(one.began - piece.since + began - one.prepared) * 1e3,
            decode_ms=(one.prepared - one.began) * 1e3,
            compute_ms=(perf_counter() - began) * 1e3,
            decode_cpu_ms=one.spent.cpu_ms,
            pass_cpu_ms=pass_ms,
        )
        self._told(piece, ran, spent)

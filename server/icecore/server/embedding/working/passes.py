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

from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.scheduling.pieces import Piece, Ran
from icecore.server.embedding.working.plans import Plans
from icecore.server.embedding.working.sharing import Group, shared
from icecore.server.telemetry.metrics import Metrics

Told: TypeAlias = Callable[[Piece, Ran | BaseException, float], None]


@dataclass(slots=True, eq=False)
class Ready:
    """A piece whose image is prepared: `inputs` without the axis of images, and its times."""

    piece: Piece
    inputs: npt.NDArray[Any]
    began: float
    prepared: float
    cpu_ms: float


class Passes:
    """Runs what is ready and keeps its codes.

    Args:
        told: called with each piece, how it ran or why it did not, and its CPU-milliseconds.
    """

    def __init__(
        self, sessions: Sessions, plans: Plans, told: Told, *, metrics: Metrics | None = None
    ) -> None:
        self._sessions = sessions
        self._plans = plans
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
        if len(ready) == 1:
            one = ready[0]
            self._pass(Group(one.piece.taps, [one]), threads)
            return
        plan = self._plans.of(ready[0].piece.backbone.digest)
        for group in shared(ready, plan, self._sessions):
            self._pass(group, threads)

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
            run = self._sessions.readied(backbone, group.taps, inputs, threads=threads)
            ready = thread_time()
            codes = run()
        except BaseException as error:  # told to the callers, who raise it
            spent = (thread_time() - cpu) * 1e3 / len(members)
            for one in members:
                self._told(one.piece, error, one.cpu_ms + spent)
            return
        # The threads of a pool work as long as the pass lasts, in accounts of their own.
        cpu_s = (thread_time() - ready) * threads
        made_s = ready - cpu  # their inputs, and the session where there was none
        self._metrics.pass_ended(
            backbone=backbone.name,
            layer=max(map(backbone.layer_of, group.taps), key=lambda one: one.macs).name,
            n_images=len(members),
            cpu_s=cpu_s,
        )
        places = {tap: place for place, tap in enumerate(group.taps)}
        for row, one in enumerate(members):
            self._keep(
                one,
                [codes[places[tap]][row] for tap in one.piece.taps],
                began,
                pass_cpu_ms=cpu_s * 1e3 / len(members),
                made_cpu_ms=made_s * 1e3 / len(members),
            )

    def _keep(
        self,
        one: Ready,
        codes: list[npt.NDArray[np.float32]],
        began: float,
        *,
        pass_cpu_ms: float,
        made_cpu_ms: float,
    ) -> None:
        piece = one.piece
        cpu_ms = one.cpu_ms + made_cpu_ms + pass_cpu_ms
        try:
            piece.keep(codes)
        except BaseException as error:  # told to the caller, who raises it
            self._told(piece, error, cpu_ms)
            return
        ran = Ran(
            queue_ms=(one.began - piece.since + began - one.prepared) * 1e3,
            decode_ms=(one.prepared - one.began) * 1e3,
            compute_ms=(perf_counter() - began) * 1e3,
            decode_cpu_ms=one.cpu_ms,
            pass_cpu_ms=pass_cpu_ms,
        )
        self._told(piece, ran, cpu_ms)

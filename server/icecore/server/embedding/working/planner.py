"""Decides how each backbone is run, by measuring it once, when nobody else wants the processor."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from threading import Event
from time import perf_counter
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.server import telemetry
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.kept_sessions import Session
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.backbones.running.wishes import Wishes
from icecore.server.embedding.working.measuring import Disturbed, measure
from icecore.server.embedding.working.plan_file import PlanFile
from icecore.server.embedding.working.plans import Plan, Plans
from icecore.server.errors import IcecoreError

AFTER_PASSES: Final = 32
"""Who has embedded a handful of images is done before a measurement would pay."""

_QUIET_S: Final = 1.0
_LOOKS: Final = 20
"""In that time: between two calls of a steady load, one look may find nothing to do."""

_MOST_TRIES: Final = 20


class Planner:
    """Plans from a file, else by measurement.

    Args:
        file: where plans are kept; None: they are not measured either.
        threads: what the server has.
        naive: the plan until then, and the one to beat.
        is_busy: whether there is other work now.
    """

    def __init__(
        self,
        sessions: Sessions,
        file: PlanFile | None,
        *,
        threads: int,
        naive: Plan,
        is_busy: Callable[[], bool],
        after_passes: int = AFTER_PASSES,
        quiet_s: float = _QUIET_S,
    ) -> None:
        self.plans = Plans(naive)
        self._naive = naive
        self._sessions = sessions
        self._file = file
        self._threads = threads
        self._is_busy = is_busy
        self._after_passes = after_passes
        self._quiet_s = quiet_s
        self._seen: Counter[str] = Counter()
        self._wishes = Wishes()
        self._stop = Event()
        for digest, plan in (file.read() if file is not None else {}).items():
            self.plans.decide(digest, plan)

    def saw(self, backbone: Backbone) -> None:
        """Take note of a pass; called in worker threads."""
        digest = backbone.digest
        if self._file is None or self.plans.is_decided(digest):
            return
        self._seen[digest] += 1  # one lost between two threads does no harm
        if self._seen[digest] >= self._after_passes and not self._stop.is_set():
            self._wishes.add(digest, partial(self._plan, backbone, self._file))

    def close(self) -> None:
        """Give up what is being measured. Idempotent."""
        self._stop.set()
        self._wishes.wait()

    def _plan(self, backbone: Backbone, file: PlanFile) -> None:
        for _ in range(_MOST_TRIES):
            if not self._wait_for_quiet():
                return
            began = perf_counter()
            try:
                plan = self._measured(backbone)
            except Disturbed:
                continue
            except IcecoreError as error:  # removed since
                telemetry.log("not_planned", backbone=backbone.name, error=str(error))
                return
            self.plans.decide(backbone.digest, plan)
            file.write(backbone.digest, plan)
            telemetry.log(
                "planned",
                backbone=backbone.name,
                ms=round((perf_counter() - began) * 1e3),
                lone_threads=plan.lone_threads,
                batch=plan.batch,
                a_pass_ms=plan.a_pass_ms,
                an_image_ms=plan.an_image_ms,
            )
            return
        self._seen[backbone.digest] = 0  # it has other chances

    def _wait_for_quiet(self) -> bool:
        """Return once nothing else was to be done for a while; False where the server ends."""
        n_quiet = 0
        while not self._stop.wait(self._quiet_s / _LOOKS):
            n_quiet = 0 if self._is_busy() else n_quiet + 1
            if n_quiet == _LOOKS:
                return True
        return False

    def _measured(self, backbone: Backbone) -> Plan:
        (layer,) = backbone.select(())
        taps = (backbone.tap(layer),)
        shape = backbone.recipe.shape
        sessions: dict[int, Session] = {}
        random = np.random.default_rng(0)
        inputs: dict[int, npt.NDArray[np.float32]] = {}

        def run(n_images: int, threads: int) -> None:
            if threads not in sessions:
                sessions[threads] = self._sessions.apart(backbone, taps, threads=threads)
            if n_images not in inputs:
                inputs[n_images] = random.standard_normal((n_images, *shape), np.float32)
            sessions[threads].run(inputs[n_images])

        device = self._sessions.device
        return measure(
            run,
            self._naive,
            threads=self._threads,
            at_once=device.n_passes or self._threads,
            is_cpu=device.is_cpu,
            is_disturbed=lambda: self._stop.is_set() or self._is_busy(),
        )

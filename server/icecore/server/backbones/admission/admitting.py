"""Letting in a file of others: its first load and run happen in a process of its own.

Blocking. The server itself parses nothing of the file; it hands the bytes to an
inspector under limits of memory and time and believes what comes back within bounds.
"""

import hashlib
import logging
import signal
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from time import perf_counter
from typing import Any, Final

from icecore.server.backbones.admission.admitting_child import Child, ChildDied
from icecore.server.backbones.admission.inspecting.refusal import REFUSALS, too_much_memory
from icecore.server.backbones.admission.limits import USUAL, AdmissionLimits
from icecore.server.backbones.admission.vetting.vetting import vet_length
from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.sources import RecipeFile
from icecore.server.errors import (
    GraphInvalid,
    GraphTooCostly,
    IcecoreError,
    Internal,
    Overloaded,
    RecipeInvalid,
)
from icecore.server.stays import Stays
from icecore.server.telemetry import log

AT_ONCE: Final = 1
"""One looks, niced and on one thread, and leaves the other core alone."""

WAITING: Final = 4
"""Each that waits holds a thread and its file in memory; more are told to come again."""

_LOOK_S: Final = 10.0
"""What a look is thought to take as long as none has ended."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A network in house form with how it is fed and where it comes from, as the file says it.

    `recipe_source` is "given", "recipe file NAME", "metadata of the file" or
    "assumed"; `changes` are sentences on what was done to the file; `file_sha256`
    is that of the file as it came.
    """

    graph: bytes = field(repr=False)
    recipe: Recipe
    recipe_source: str
    card: Card
    changes: tuple[str, ...]
    file_sha256: str


class Admission:
    """The door of one server: few inspectors at once, and few that wait for one."""

    def __init__(self, *, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._inspectors = BoundedSemaphore(at_once)
        self._places = BoundedSemaphore(at_once + waiting)
        self._looks = Stays(_LOOK_S)

    def admit(
        self,
        data: bytes,
        *,
        recipe: Recipe | None = None,
        recipe_file: RecipeFile | None = None,
        limits: AdmissionLimits = USUAL,
        caller_left: Future[None] | None = None,
    ) -> Admitted:
        """Return what a file holds, after it was loaded and run in a process of its own.

        Args:
            data: an ONNX file.
            recipe, recipe_file: how images become its input; at most one of them.
                With neither the file's metadata say it, else the usual is assumed.
            limits: what the file may cost.
            caller_left: the process is killed as soon as this is done or cancelled.

        Raises:
            GraphInvalid: no ONNX file, or no network that can be run here.
            RecipeInvalid: both recipes, or one that makes no sense or does not fit.
            GraphTooLarge, GraphTooCostly: beyond the limits.
            Overloaded: too many files wait already; `retry_after_s` is about when one is done.
            CancelledError: the caller left.
            Internal: the inspector itself does not start.
        """
        if recipe is not None and recipe_file is not None:
            raise RecipeInvalid("both a recipe and a recipe file are given, but one is the most")
        vet_length(len(data), limits)
        job = {
            "limits": limits.to_json(),
            "n_bytes": len(data),
            "recipe": None if recipe is None else recipe.to_json(),
            "recipe_file": None if recipe_file is None else recipe_file.name,
        }
        content = b"" if recipe_file is None else recipe_file.content
        with self._turn():
            return _inspect(job, content, data, limits, caller_left)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise Overloaded(
                "too many files wait to be looked at; try again when one is done",
                retry_after_s=self._looks.next_leaves_s,
            )
        try:
            with self._inspectors, self._looks.one():
                yield
        finally:
            self._places.release()


_DOOR: Final = Admission()


def admit(
    data: bytes,
    *,
    recipe: Recipe | None = None,
    recipe_file: RecipeFile | None = None,
    limits: AdmissionLimits = USUAL,
    caller_left: Future[None] | None = None,
) -> Admitted:
    """As `Admission.admit`, at the one door of this process."""
    return _DOOR.admit(
        data, recipe=recipe, recipe_file=recipe_file, limits=limits, caller_left=caller_left
    )


def _inspect(
    job: dict[str, Any],
    content: bytes,
    data: bytes,
    limits: AdmissionLimits,
    caller_left: Future[None] | None,
) -> Admitted:
    """What one inspector says; not believed where it makes no sense."""
    start = perf_counter()
    with Child(wall_s=limits.wall_s, caller_left=caller_left) as child:
        try:
            facts = child.ask(job, content, data)
            if facts["event"] == "refused":
                raise REFUSALS[facts["reason"]](facts["message"], **facts["details"])
            graph = child.graph(max_bytes=limits.max_answer_bytes)
            admitted = _admitted(facts, graph, data)
        except ChildDied as died:
            error = _told(died, len(data), limits)
            _log_refusal(error, start, len(data), died=str(died), words=child.words())
            raise error from died
        except IcecoreError as error:
            _log_refusal(error, start, len(data), words=child.words())
            raise
        except (KeyError, TypeError, ValueError) as error:
            _log_refusal(error, start, len(data), died="it answered nonsense", words=child.words())
            raise GraphInvalid(
                "the graph cannot be read: whoever tried was brought to answer nonsense"
            ) from error
    log(
        "graph_admitted",
        n_bytes=len(data),
        seconds=round(perf_counter() - start, 3),
        cpu_s=facts.get("cpu_s"),
        peak_bytes=facts.get("peak_bytes"),
    )
    return admitted


def _admitted(facts: dict[str, Any], graph: bytes, data: bytes) -> Admitted:
    return Admitted(
        graph=graph,
        recipe=Recipe.from_json(facts["recipe"]),
        recipe_source=str(facts["recipe_source"]),
        card=Card.from_json(facts["card"]),
        changes=tuple(str(change) for change in facts["changes"]),
        file_sha256=hashlib.sha256(data).hexdigest(),
    )


def _told(died: ChildDied, n_bytes: int, limits: AdmissionLimits) -> BaseException:
    """What the caller is told when the inspector ended without an answer."""
    if died.because == "left":
        return CancelledError("the caller left while the file was looked at")
    if not died.was_ready and died.because != "late":
        return Internal(f"the inspector of ONNX files does not start: {died}")
    if died.because == "late":
        return GraphTooCostly(
            f"loading and running the graph takes longer than {limits.wall_s:g} s"
        )
    if died.status == -signal.SIGXCPU:
        return GraphTooCostly(
            f"loading and running the graph takes more than {limits.cpu_s} s of processor time"
        )
    if died.status in (-signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS):
        # How native code ends that gets no memory; also how the system ends who takes too much.
        return too_much_memory(limits.memory_bytes(n_bytes))
    return GraphInvalid(f"the graph cannot be read: whoever tried {died.how}")


def _log_refusal(error: BaseException, start: float, n_bytes: int, **fields: str) -> None:
    log(
        "graph_refused",
        level=logging.WARNING if fields.get("died") else logging.INFO,
        sentence=str(error),
        n_bytes=n_bytes,
        seconds=round(perf_counter() - start, 3),
        **fields,
    )

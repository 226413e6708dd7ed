"""The child process that looks at a file of others first.

    python -P -m icecore.server.backbones.admission.inspecting.inspector

One file comes in over standard input and one answer goes out over standard output
(`inspector_frames.py`); standard error is for the server's log. It may not write files, and
memory and time are limited before the first byte of the file is read. When standard
input ends, the server is gone or wants no answer, and this process ends too.
"""

import os
import resource
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any, BinaryIO, Final

from icecore.server.backbones.admission.house_form.house import bring_home, input_size
from icecore.server.backbones.admission.inspecting.frames import (
    read_frame,
    read_message,
    write_frame,
    write_message,
)
from icecore.server.backbones.admission.inspecting.refusal import refusal_of
from icecore.server.backbones.admission.inspecting.trial import try_out
from icecore.server.backbones.admission.limits import AdmissionLimits
from icecore.server.backbones.admission.vetting.vetting import vet
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.sources import (
    RecipeFile,
    assumed,
    card_of_file,
    card_of_metadata,
    recipe_of_file,
    recipe_of_metadata,
)
from icecore.server.errors import GraphTooCostly, GraphTooLarge, IcecoreError

MAX_METADATA_CHARACTERS: Final = 1 << 16
"""Of one entry; recipes and cards are far smaller, and what is larger is left unread."""

USUAL_SIZE: Final = (224, 224)
"""Of a network that leaves its size open, where no recipe tells it."""

_OPEN_FILES: Final = 64


def main() -> int:
    """Look at one file; the exit status says whether it was answered."""
    with suppress(OSError):  # not on every system; where memory ends, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000")
    stdin = sys.stdin.buffer
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    write_message(stdout, {"event": "ready"})
    try:
        job = read_message(stdin)
    except EOFError:
        return 0  # the server wants no answer any more
    limits = AdmissionLimits.from_json(job["limits"])
    memory_bytes = limits.memory_bytes(int(job["n_bytes"]))
    _limit_this_process(limits, memory_bytes)
    try:
        content = read_frame(stdin, max_bytes=limits.max_file_bytes)
        data = read_frame(stdin, max_bytes=limits.max_file_bytes)
        threading.Thread(target=_end_with_the_server, daemon=True).start()
        _answer(stdout, _inspect(data, content, job, limits))
    except Exception as error:  # the door of this process
        told = refusal_of(error, memory_bytes=memory_bytes)
        if not isinstance(error, IcecoreError | MemoryError):
            traceback.print_exc()
        _refuse(stdout, told)
    return 0


def _inspect(
    data: bytes, content: bytes, job: Mapping[str, Any], limits: AdmissionLimits
) -> tuple[bytes, dict[str, object]]:
    """The graph in house form, and what the server is told about it."""
    model = vet(data, limits)
    properties = {
        entry.key: entry.value
        for entry in model.metadata_props
        if len(entry.value) <= MAX_METADATA_CHARACTERS
    }
    del model
    wanted = _Wanted(job, content, properties)
    recipe, _, _ = wanted.recipe(input_size(data), "NCHW")
    house = bring_home(data, (recipe.height, recipe.width))
    if len(house.graph) > limits.max_answer_bytes:
        raise GraphTooLarge(
            f"the graph has {len(house.graph):,} bytes in the form that is stored, "
            f"but {limits.max_answer_bytes:,} are the most"
        )
    vet(house.graph, limits)
    recipe, source, card = wanted.recipe((recipe.height, recipe.width), house.layout)
    backbone = _read(house.graph, recipe, limits)
    try_out(backbone, limits)
    return house.graph, {
        "event": "admitted",
        "recipe": recipe.to_json(),
        "recipe_source": source,
        "card": card.to_json(),
        "changes": list(house.changes),
        "cpu_s": round(process_time(), 3),
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


class _Wanted:
    """Where the recipe comes from: given, in a file of its own, in the metadata, or assumed."""

    def __init__(
        self, job: Mapping[str, Any], content: bytes, properties: Mapping[str, str]
    ) -> None:
        self._given = None if job["recipe"] is None else Recipe.from_json(job["recipe"])
        self._file = None
        if job["recipe_file"] is not None:
            self._file = RecipeFile(job["recipe_file"], content)
        self._properties = properties

    def recipe(self, size: tuple[int, int] | None, layout: str) -> tuple[Recipe, str, Card]:
        """The recipe, where it came from, and the card: the recipe file's before the metadata's.

        Raises:
            RecipeInvalid
        """
        card = card_of_metadata(self._properties)
        if self._given is not None:
            return replace(self._given, layout=layout), "given", card
        if self._file is not None:
            recipe = recipe_of_file(self._file, size, layout)
            told = {k: v for k, v in card_of_file(self._file).to_json().items() if v}
            card = Card.from_json({**card.to_json(), **told})
            return recipe, f"recipe file {self._file.name}", card
        found, card = recipe_of_metadata(self._properties, size, layout)
        if found is not None:
            return found, "metadata of the file", card
        return replace(assumed(size or USUAL_SIZE), layout=layout), "assumed", card


def _read(graph: bytes, recipe: Recipe, limits: AdmissionLimits) -> Backbone:
    """The backbone, whose layers the server will have to read too."""
    start = process_time()
    backbone = Backbone.read("", graph, recipe)
    seconds = process_time() - start
    if seconds > limits.max_analysis_s:
        raise GraphTooCostly(
            f"reading the graph's layers takes {seconds:.0f} s, "
            f"but {limits.max_analysis_s:.0f} are the most"
        )
    if len(backbone.layers) > limits.max_layers:
        raise GraphTooLarge(
            f"the graph has {len(backbone.layers):,} layers, but {limits.max_layers:,} are the most"
        )
    return backbone


def _answer(stdout: BinaryIO, found: tuple[bytes, dict[str, object]]) -> None:
    graph, facts = found
    write_message(stdout, facts)
    write_frame(stdout, graph)


def _refuse(stdout: BinaryIO, told: IcecoreError) -> None:
    write_message(
        stdout,
        {
            "event": "refused",
            "reason": str(told.reason),
            "message": told.message,
            "details": told.details,
        },
    )


def _limit_this_process(limits: AdmissionLimits, memory_bytes: int) -> None:
    for what, soft, hard in (
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 5),  # SIGXCPU first, which says why
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))


def _end_with_the_server() -> None:
    os.read(0, 1)  # unbuffered: a thread that waits inside a buffer aborts Python's own end
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())

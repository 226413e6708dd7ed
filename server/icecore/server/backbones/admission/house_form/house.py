"""The house form: a file people use, turned into what icecore stores and runs.

It runs the graph, so it belongs into a child process with limits; `admitting` starts one.
"""

from contextlib import suppress
from dataclasses import dataclass

from icecore.server.backbones.admission.house_form.agreement import LOOSE, agree, tolerance
from icecore.server.backbones.admission.house_form.draft import Draft
from icecore.server.backbones.admission.house_form.layout import (
    ImageInput,
    Layout,
    image_input,
    settle_input,
)
from icecore.server.backbones.admission.house_form.opset import with_known_versions
from icecore.server.backbones.admission.house_form.plain_runs import NotRunnable, PlainRun
from icecore.server.backbones.admission.house_form.precision import to_float32
from icecore.server.backbones.admission.house_form.reading import read_model
from icecore.server.backbones.admission.house_form.settling import Settled, settle_batch
from icecore.server.backbones.admission.house_form.tidying import tidy
from icecore.server.errors import GraphInvalid


@dataclass(frozen=True, slots=True)
class House:
    """A graph in house form, the layout its file had, and a sentence for each change."""

    graph: bytes
    layout: Layout
    changes: tuple[str, ...]


def bring_home(data: bytes, size: tuple[int, int] | None = None) -> House:
    """Return a file's house form; a file that has it already comes back as it is.

    What was changed is run beside the file, and must say the same of the same images.

    Args:
        data: an ONNX file.
        size: (h, w) of the recipe, for a file that leaves them open.

    Raises:
        GraphInvalid: no graph that can be stored and run; the sentence says why.
        GraphTooLarge: it works out constants of too many bytes.
    """
    draft, found = _draft(data)
    height, width = settle_input(draft, found, size)
    settled = _settled(draft, found, (3, height, width), is_sized=size is not None)
    draft = settled.draft
    if not draft.changes:
        return House(data, found.layout, ())
    _require_same(data, found, settled)
    draft.prune()
    draft.declare(settled.alone, settled.together)
    return House(draft.to_bytes(), found.layout, tuple(draft.changes))


def input_size(data: bytes) -> tuple[int, int] | None:
    """Return (h, w) as the file fixes them, None where it leaves either open.

    Raises:
        GraphInvalid: as `bring_home`, for what shows without running the graph.
    """
    _, found = _draft(data)
    if found.height is None or found.width is None:
        return None
    return found.height, found.width


def _draft(data: bytes) -> tuple[Draft, ImageInput]:
    """The file with known versions, in float32, and what it says of its input."""
    draft = Draft(*with_known_versions(*read_model(data)))
    if draft.prune():
        draft.note("nodes and weights that no output needs are left out")
    tidy(draft)
    to_float32(draft)
    return draft, image_input(draft)


def _settled(
    draft: Draft, found: ImageInput, shape: tuple[int, int, int], *, is_sized: bool
) -> Settled:
    try:
        return settle_batch(draft, found.batch, shape)
    except GraphInvalid as error:
        if is_sized or (found.height and found.width):
            raise
        raise GraphInvalid(
            f"{error.message}; the file leaves height or width open: name them in a recipe"
        ) from error


def _require_same(data: bytes, found: ImageInput, settled: Settled) -> None:
    """Run the file itself; one that this onnxruntime does not run cannot be compared."""
    if settled.draft.was_training:
        return  # where images change each other and chance has a part
    batch = found.batch or 1
    images = settled.images[:batch]
    if found.layout == "NHWC":
        images = images.transpose(0, 2, 3, 1)
    allowed = LOOSE if settled.draft.was_half else tolerance(settled.draft)
    try:
        run = PlainRun(data, literally=True)
        outputs = run(images.astype(run.dtype))
    except NotRunnable:
        return
    if agree(settled.first, outputs, allowed):
        return
    # A network may amplify rounding, of which fused operators have another; node by node an
    # honest change has the same.
    with suppress(NotRunnable):
        stored = PlainRun(settled.draft.to_bytes(), literally=True)
        if agree(stored(settled.images[:batch]), outputs, allowed):
            return
    raise GraphInvalid(
        "the graph says something else once its versions, types and shapes are made fit to "
        "be stored: export it as float32 with opset 13 or newer"
    )

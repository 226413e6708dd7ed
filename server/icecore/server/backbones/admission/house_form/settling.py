"""How many images a graph takes at a time: any number, or one by one where that cannot be had."""

from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.admission.house_form.agreement import Arrays, agree, apart, tolerance
from icecore.server.backbones.admission.house_form.batch import NotOpened, open_batch
from icecore.server.backbones.admission.house_form.draft import Draft
from icecore.server.backbones.admission.house_form.folding import fold
from icecore.server.backbones.admission.house_form.plain_runs import NotRunnable, PlainRun, noise
from icecore.server.errors import GraphInvalid

_N_IMAGES = 3
"""That are run together and one by one; two would hide a batch taken for a pair."""


class Settled(NamedTuple):
    """A graph whose batch is settled, and what it said.

    `first` are its outputs for as many of `images` as the file takes at once
    (one, where it leaves that open); `alone` for the first only, `together` for
    several, None where it takes one at a time.
    """

    draft: Draft
    images: npt.NDArray[np.float32]
    first: list[npt.NDArray[Any]]
    alone: list[npt.NDArray[Any]]
    together: list[npt.NDArray[Any]] | None


def settle_batch(draft: Draft, batch: int | None, shape: tuple[int, int, int]) -> Settled:
    """Return the graph with its constants worked out, for any number of images where possible.

    An open batch is believed once images have the same outputs alone and
    together; a fixed one is opened, and that is believed on the same terms.

    Args:
        draft: taken over.
        batch: what the file fixes, None where it is open.
        shape: of one image, (3, h, w).

    Raises:
        GraphInvalid: it does not run, or takes several images and no other number.
        GraphTooLarge: as `fold`.
    """
    if batch is None:
        try:
            fold(draft, (2, 3), shape)
            images = noise((_N_IMAGES, *shape))
            run = PlainRun(draft.to_bytes())
            alone = apart(run, images, 1)
            settled = _settled(draft, run, images, alone, 1)
        except NotRunnable:
            settled = None
        if settled is not None:
            return settled
    size = batch or 1
    images = noise((-(-_N_IMAGES // size) * size, *shape))
    draft.set_batch(size)
    reference: Arrays | None = None
    try:
        fold(draft, (size,), shape)
        run = PlainRun(draft.to_bytes())
        first = run(images[:size])
        with suppress(NotRunnable):
            reference = apart(run, images, size)
        del run
    except NotRunnable as error:
        raise GraphInvalid(
            f"the graph does not run on {size} image(s) of {shape[1]} x {shape[2]}: {error}"
        ) from error
    opened = None if reference is None else _opened(draft, images, reference, size)
    if opened is not None:
        return opened
    if size > 1:
        raise GraphInvalid(
            f"the graph takes {size} images at a time and cannot be given another number; "
            "export it with an open batch, or for one image"
        )
    if batch is None:
        draft.note(
            "the batch was open, but images changed each other or failed together; "
            "they are run one by one"
        )
    return Settled(draft, images, first, first, None)


def _opened(
    draft: Draft, images: npt.NDArray[np.float32], reference: Arrays, size: int
) -> Settled | None:
    """The graph with its batch left open, None where that does not come to the same."""
    trial = draft.copy()
    try:
        open_batch(trial, size)
        settled = _settled(trial, PlainRun(trial.to_bytes()), images, reference, size)
    except (NotOpened, NotRunnable):
        return None
    if settled is not None:
        trial.note(f"the batch was fixed at {size}; it is open")
    return settled


def _settled(
    draft: Draft, run: PlainRun, images: npt.NDArray[np.float32], reference: Arrays, size: int
) -> Settled | None:
    """What an open graph says, if that is the reference alone and together; else None.

    Raises:
        NotRunnable: as `apart`.
    """
    together, alone = apart(run, images, len(images)), apart(run, images[:_N_IMAGES], 1)
    allowed = tolerance(draft)
    if not agree(together, reference, allowed):
        return None
    if not agree(alone, [output[:_N_IMAGES] for output in reference], allowed):
        return None
    first = [output[:size] for output in reference]
    return Settled(draft, images, first, [output[:1] for output in alone], together)

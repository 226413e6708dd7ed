"""A recipe check: a backbone's recipe and likely others, tried on labelled photos.

Images are decoded, resized and cropped once; only what comes after differs.
All recipes see some of the photos, the likeliest see them all.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.embedding.decoding import LIMITS, Limits
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import ImageInput, Prepared
from icecore.server.embedding.preparing import check, crop
from icecore.server.errors import ImagesEmpty, InvalidArgument, TensorInvalid
from icecore.server.training.recipe_check_classes import match
from icecore.server.training.recipe_check_scores import Scores
from icecore.server.training.recipe_check_trials import Candidate, candidates
from icecore.server.training.recipe_check_trying import Photos, Trying, logits_of
from icecore.server.training.recipe_check_verdict import (
    Tried,
    are_as_good,
    fits_better,
    merit,
    sentence,
)

MAX_PHOTOS: Final = 200
MAX_CROP_BYTES: Final = 256 << 20
FIRST_PHOTOS: Final = 16
"""That all recipes see."""
FINALISTS: Final = 4
"""That see the others too, beside the stored one."""


@dataclass(frozen=True, slots=True)
class RecipeTrial:
    """What one recipe made of the first `n_images` photos.

    `change` is what is different from the stored one; empty: nothing. `accuracy` is
    the share whose label the network names first, of those whose label is a class
    of it; `confidence` the mean probability of the class named first; `agreement` the
    share that a probe on the last codes labels right, held out. -1 where not known.
    """

    change: str
    recipe: Recipe
    accuracy: float
    confidence: float
    agreement: float
    n_images: int


@dataclass(frozen=True, slots=True)
class RecipeReport:
    """`trials` hold the stored recipe first, then the others, best first.

    `suggested` is the place of the one that clearly fits better; 0: none does.
    """

    n_images: int
    trials: tuple[RecipeTrial, ...]
    suggested: int
    verdict: str


class RecipeChecker:
    """Runs recipe checks through an embedder, in the background of its other callers."""

    def __init__(self, embedder: Embedder, *, limits: Limits = LIMITS) -> None:
        self._embedder = embedder
        self._limits = limits

    async def check(
        self,
        backbone: Backbone,
        images: Sequence[ImageInput],
        labels: Sequence[str],
        class_names: Sequence[str] = (),
        *,
        names: Sequence[str] = (),
        tenant_id: str = "",
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> RecipeReport:
        """Return what the backbone's recipe and likely others make of labelled photos.

        Args:
            backbone: its layers tell where the logits are, if any.
            images: encoded or pixels; of more than `MAX_PHOTOS`, so many are taken, evenly
                over the labels.
            labels: one an image; empty: it has none.
            class_names: one a logit; none: labels are not compared with classes.
            names: what to call each image in an error.
            tenant_id: whose turn it is.
            on_progress: hears shares from 0 to 1.

        Raises:
            ImagesEmpty: none.
            InvalidArgument: another number of labels than images, or of names than classes.
            TensorInvalid: an image is past the recipe already.
            ImageTooLarge, ImageTruncated, ImageInvalid: as `decode`.
        """
        if not images:
            raise ImagesEmpty("there are no photos to check the recipe on; send labelled ones")
        if len(labels) != len(images):
            raise InvalidArgument(f"there are {len(labels)} labels for {len(images)} images")
        logits = logits_of(backbone)
        if class_names and logits is None:
            raise InvalidArgument(
                f"backbone {backbone.name!r} has no logits, so class names mean nothing for it"
            )
        crop_bytes = 3 * backbone.recipe.height * backbone.recipe.width
        places = _evenly(labels, max(1, min(MAX_PHOTOS, MAX_CROP_BYTES // crop_bytes)))
        chosen = [labels[place] for place in places]
        matches = match(chosen, class_names, logits.channels) if class_names and logits else None
        crops = []
        for place in places:
            what = names[place] if names else f"image {place}"
            crops.append(await self._crop(images[place], backbone.recipe, what))
        photos = Photos(crops, chosen, matches)
        trying = Trying(self._embedder, backbone, logits, photos, tenant_id)
        return await _compare(trying, on_progress)

    async def _crop(self, image: ImageInput, recipe: Recipe, what: str) -> npt.NDArray[np.uint8]:
        if isinstance(image, Prepared):
            raise TensorInvalid(
                f"{what} is a float32 tensor that is past the recipe, which then cannot be "
                "checked: send the encoded file or uint8 (h, w, 3) pixels"
            )
        check(image, recipe, what=what, limits=self._limits)
        return await asyncio.to_thread(lambda: crop(image, recipe, what=what, limits=self._limits))


async def _compare(trying: Trying, on_progress: Callable[[float], None]) -> RecipeReport:
    n_first = min(FIRST_PHOTOS, trying.n)
    stored, *others = candidates(trying.recipe)
    n_all = n_first * (1 + len(others)) + trying.n * (1 + min(FINALISTS, len(others)))
    n_done = 0

    def did(n: int) -> None:
        nonlocal n_done
        n_done += n
        on_progress(n_done / n_all)

    seen: dict[str, tuple[Scores, int]] = {}
    seen[stored.change] = await trying.scores(stored.recipe, n_first), n_first
    did(n_first)
    for other in others:
        # What is far too large for the network is not its recipe.
        with suppress(TensorInvalid):
            seen[other.change] = await trying.scores(other.recipe, n_first), n_first
        did(n_first)
    others = [other for other in others if other.change in seen]
    others.sort(key=lambda one: -merit(seen[one.change][0]))
    finalists = others[:FINALISTS]
    for one in [stored, *finalists]:
        seen[one.change] = await trying.scores(one.recipe, trying.n), trying.n
        did(trying.n)
    finalists.sort(key=lambda one: -merit(seen[one.change][0]))
    return _report(stored, [*finalists, *others[FINALISTS:]], len(finalists), seen, trying)


def _report(
    stored: Candidate,
    others: Sequence[Candidate],
    n_finalists: int,
    seen: Mapping[str, tuple[Scores, int]],
    trying: Trying,
) -> RecipeReport:
    before = Tried(stored.recipe, seen[stored.change][0])
    share = trying.learnable(trying.n).largest_share
    better = [
        place
        for place, one in enumerate(others[:n_finalists], 1)
        if fits_better(
            Tried(one.recipe, seen[one.change][0]),
            before,
            n_tried=len(others),
            largest_share=share,
        )
    ]
    suggested = better[0] if better else 0
    found: tuple[str, Tried] | None = None
    also: list[str] = []
    if suggested:
        best = others[suggested - 1]
        found = best.change, Tried(best.recipe, seen[best.change][0])
        also = [
            others[place - 1].change
            for place in better[1:]
            if are_as_good(seen[others[place - 1].change][0], found[1].scores)
        ]
    return RecipeReport(
        n_images=trying.n,
        trials=tuple(_trial(one, *seen[one.change]) for one in (stored, *others)),
        suggested=suggested,
        verdict=sentence(before, found, also, trying.n),
    )


def _trial(candidate: Candidate, scores: Scores, n_images: int) -> RecipeTrial:
    accuracy = -1.0
    if scores.right is not None and scores.known is not None and scores.known.any():
        accuracy = float(scores.right[scores.known].mean())
    return RecipeTrial(
        change=candidate.change,
        recipe=candidate.recipe,
        accuracy=accuracy,
        confidence=-1.0 if scores.confidence is None else float(scores.confidence.mean()),
        agreement=-1.0 if scores.agreed is None else float(scores.agreed.mean()),
        n_images=n_images,
    )


def _evenly(labels: Sequence[str], n: int) -> list[int]:
    """Return at most `n` places, the labels in turn, so that the first ones hold all labels too."""
    by_label: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        by_label.setdefault(label, []).append(place)
    turns = zip_longest(*(by_label[label] for label in sorted(by_label)))
    return [place for turn in turns for place in turn if place is not None][:n]

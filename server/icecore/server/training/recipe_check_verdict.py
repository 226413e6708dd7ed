"""Whether another recipe clearly fits better than the stored one: the rule, and its words.

A recipe is suggested when, over the same photos as the stored one,

- where labels of 20 photos or more are the network's classes: their likelihood is higher, a
  tenth of them or more are named first, and either the likelihood is 10 % higher or the
  logit named first stands 3 % higher out of the others;
- where they are not: that logit stands 3 % higher out, the network is sure of what it
  names (0.4 on average), and a probe on its codes does no worse than with the stored recipe
  and better than naming one label always;
- where the network has no classes, or inputs are ten times as wide (which alone makes a
  network sure): the probe is right more often, by 5 points.

"Higher" and "more often" are by paired tests over photos, Student's and McNemar's, with p < 0.01
over all recipes tried (Bonferroni).

Why the height: measured on photos of ants and bees, clothing and textures with four networks
of ImageNet's classes, it was largest at the network's own recipe, or not clearly larger at
another, in every case; plain confidence was largest at raw 0..255 in most. On images unlike any
that the network learnt (cells, glyphs, 32 x 32 pixels) the height misleads: there its
confidence stayed below 0.4, where the inputs were not wider.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.probes.intervals import held_out_accuracy
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.training.recipe_check_scores import Scores, gain, more_often
from icecore.server.training.recipe_check_trials import spread

P: Final = 0.01
HEIGHT_SHARE: Final = 0.03
LOG_LIKELIHOOD: Final = 0.1
SURE: Final = 0.4
POINTS: Final = 0.05
LEAST_PHOTOS: Final = 20
WIDER: Final = 10.0
"""Times; -1..1 and ImageNet's mean and std differ by 2.2, both from 0..255 by more than 50."""

_AS_WELL: Final = 0.01


@dataclass(frozen=True, slots=True)
class Tried:
    recipe: Recipe
    scores: Scores


def fits_better(new: Tried, stored: Tried, *, n_tried: int, largest_share: float) -> bool:
    """Whether `new` clearly fits better, by the rule above.

    `largest_share` is that of the most frequent label among the photos.
    """
    ours, theirs = new.scores, stored.scores
    p = P / max(1, n_tried)
    if n_photos(ours) < LEAST_PHOTOS:
        return False
    if ours.height is None or theirs.height is None or ours.confidence is None:
        return _probe_gains(ours, theirs, p)
    height_gain, height_p = gain(ours.height, theirs.height)
    is_higher = height_p < p and height_gain >= HEIGHT_SHARE * float(theirs.height.mean())
    if is_named(ours) and ours.log_likelihood is not None and theirs.log_likelihood is not None:
        known = ours.known
        likelier, likelier_p = gain(ours.log_likelihood[known], theirs.log_likelihood[known])
        is_likelier = likelier_p < p and likelier >= LOG_LIKELIHOOD
        return likelier > 0 and (is_higher or is_likelier) and _knows(ours)
    if spread(new.recipe) > WIDER * spread(stored.recipe):
        return _probe_gains(ours, theirs, p)
    if ours.agreed is None or theirs.agreed is None:
        return is_higher and float(ours.confidence.mean()) >= SURE
    from icecore.probes.cross_validation import OUTER_FOLDS  # late, as in `recipe_check_scores`

    groups = np.arange(len(ours.agreed))
    agreement = held_out_accuracy(ours.agreed, groups, n_folds=OUTER_FOLDS)
    return (
        is_higher
        and float(ours.confidence.mean()) >= SURE
        and agreement.low > largest_share
        and more_often(theirs.agreed, ours.agreed) > 0.05
    )


def merit(scores: Scores) -> float:
    """Return what recipes are ordered by: likelihood of the labels' classes, else height."""
    if is_named(scores) and scores.log_likelihood is not None:
        return float(scores.log_likelihood[scores.known].mean())
    if scores.height is not None:
        return float(scores.height.mean())
    return -1.0 if scores.agreed is None else float(scores.agreed.mean())


def are_as_good(one: Scores, other: Scores) -> bool:
    """Whether two recipes that both fit better are about the same."""
    return abs(merit(one) - merit(other)) <= _AS_WELL * max(abs(merit(one)), abs(merit(other)))


def is_named(scores: Scores) -> bool:
    """Whether labels of enough photos are classes of the network."""
    return scores.known is not None and int(scores.known.sum()) >= LEAST_PHOTOS


def n_photos(scores: Scores) -> int:
    for values in (scores.height, scores.agreed):
        if values is not None:
            return len(values)
    return 0


def words(scores: Scores) -> str:
    """Return the figures of one recipe for a sentence."""
    parts: list[str] = []
    if is_named(scores) and scores.right is not None and scores.log_likelihood is not None:
        likelihood = np.exp(scores.log_likelihood[scores.known].mean())
        parts.append(f"{_percent(scores.right[scores.known])} of labels named first")
        parts.append(f"probability {likelihood:.2f} of the label (geometric mean)")
    if scores.confidence is not None and scores.height is not None:
        parts.append(f"probability {float(scores.confidence.mean()):.2f} of the class named first")
        parts.append(
            f"its logit {float(scores.height.mean()):.1f} standard deviations above the others'"
        )
    if scores.agreed is not None:
        parts.append(f"{_percent(scores.agreed)} by a probe")
    return ", ".join(parts) or "nothing to tell by"


def sentence(
    stored: Tried, suggested: tuple[str, Tried] | None, also: Sequence[str], n_images: int
) -> str:
    """Return the verdict."""
    if suggested is not None:
        change, new = suggested
        alike = f"; as good: {', '.join(also)}" if also else ""
        return (
            f"{change} fits clearly better on {n_images} photos: {words(new.scores)}; "
            f"as stored: {words(stored.scores)}{alike}"
        )
    if n_images < LEAST_PHOTOS:
        return f"{n_images} photos are too few to judge by: {LEAST_PHOTOS} or more are needed"
    confidence = stored.scores.confidence
    if not is_named(stored.scores) and confidence is not None and confidence.mean() < SURE:
        return (
            f"nothing fits clearly better than as stored on {n_images} photos "
            f"({words(stored.scores)}), but the network is not sure of what it sees: photos of "
            "classes it knows, with their names, would tell more"
        )
    return (
        f"nothing fits clearly better than as stored on {n_images} photos: {words(stored.scores)}"
    )


def _knows(scores: Scores) -> bool:
    """Whether more photos are named right than chance would, far beyond doubt."""
    right, known = scores.right, scores.known
    if right is None or known is None:
        return False
    return int(right[known].sum()) >= max(5, 0.1 * int(known.sum()))


def _probe_gains(ours: Scores, theirs: Scores, p: float) -> bool:
    if ours.agreed is None or theirs.agreed is None:
        return False
    points = float(ours.agreed.mean() - theirs.agreed.mean())
    return points >= POINTS and more_often(ours.agreed, theirs.agreed) < p


def _percent(right: npt.NDArray[np.bool_]) -> str:
    return f"{100 * float(right.mean()):.1f} %"

"""Along a step of each problem, to where its slope is nearly gone."""

from typing import Final

import numpy as np

from icecore.probes.linear_probe import Array
from icecore.probes.solving.fronts import Front, Way
from icecore.probes.solving.sums import dots, spread

MAX_TRIALS: Final = 60
"""Lengths tried along one step."""

STEEPNESS: Final = 0.1
"""Share of the slope along a step that may be left at its end. Slopes tell a minimum to
the last digit, where differences of the objective drown in rounding."""

LOOSE: Final = 0.1
"""A step s, exact or by conjugate gradients, has sᵀ H s = -slope. One that differs by more than
this share was solved in too few digits."""


def move(
    front: Front, C: float, step: Array, added: Array, slopes: Array, penalty: Array
) -> np.ndarray:
    """Move to where the slope along the step is nearly gone; return which problems may go on.

    Newton's method on the slope, kept inside a bracket by bisection, and no further than scores
    may change at once. `added` (columns, n) is what `step` (columns, r) adds to scores; `slopes`
    (problems,) are those at the start. A problem whose step is not downhill stays where it is,
    and goes on only where its next step is made in more digits.
    """
    group = front.loss.group
    penalised = penalty * step
    linear = dots(penalised, front.weights, group)
    square = dots(penalised, step, group)
    goes_on = _check(front, C, added, slopes, square)
    is_downhill = slopes < 0.0
    longest = _longest(front, added)
    lengths = np.where(is_downhill, np.minimum(longest, 1.0), 0.0)
    low, high = np.zeros_like(lengths), np.full_like(lengths, np.inf)
    is_flat = ~is_downhill
    scores, at = front.scores, front.at
    for _ in range(MAX_TRIALS):
        if is_flat.all():
            break
        scores = front.scores + spread(lengths, group) * added
        at = front.loss.at(scores)
        left = C * dots(at.slope, added, group) + linear + lengths * square
        is_flat = (np.abs(left) <= STEEPNESS * np.abs(slopes)) | ~is_downhill
        is_flat |= (left < 0.0) & (lengths >= longest)
        low = np.where(left < 0.0, lengths, low)
        high = np.where(left > 0.0, lengths, high)
        bent = C * dots(at.bend(added), added, group) + square
        guess = lengths - np.divide(left, bent, out=np.zeros_like(left), where=bent > 0.0)
        guess = np.minimum(guess, longest)
        middle = np.where(np.isfinite(high), (low + high) / 2.0, np.minimum(2.0 * lengths, longest))
        is_inside = (guess > low) & (guess < high)
        lengths = np.where(is_flat, lengths, np.where(is_inside, guess, middle))
    if not is_flat.all():
        # Short of all that is downhill, which no rounding has told otherwise.
        lengths = np.where(is_flat, lengths, low)
        scores = front.scores + spread(lengths, group) * added
        at = front.loss.at(scores)
    front.weights = front.weights + spread(lengths, group) * step
    front.scores, front.at = scores, at
    front.steps += 1
    may_go_on: np.ndarray = goes_on | (lengths > 0.0)
    return may_go_on


def _longest(front: Front, added: Array) -> Array:
    """Return how much of its step a problem may go: the loss says how far scores may change."""
    if np.isinf(front.loss.furthest):
        return np.full(front.loss.n_problems, np.inf)
    changes = np.abs(added).reshape(front.loss.n_problems, front.loss.group, -1).max(axis=1)
    largest = np.where(front.loss.weights > 0.0, changes, 0.0).max(axis=1)
    longest: Array = front.loss.furthest / np.maximum(largest, np.finfo(np.float64).tiny)
    return longest


def _check(front: Front, C: float, added: Array, slopes: Array, square: Array) -> np.ndarray:
    """Return which problems get more digits from now on: their step had too few."""
    bent = C * dots(front.at.bend(added), added, front.loss.group) + square
    is_off = (np.abs(bent + slopes) > LOOSE * np.abs(slopes)) | ~(slopes < 0.0)
    can_be_better = (front.ways == Way.ITERATED) | (front.ways == Way.EXACT_SINGLE)
    changes: np.ndarray = is_off & can_be_better
    front.ways = np.where(changes, front.ways + 1, front.ways)
    return changes

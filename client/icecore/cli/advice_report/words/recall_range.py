"""The 95 % range of a class's recall, from counts alone."""

from typing import Final

from icecore.client import Accuracy
from icecore.client.advice_values import Advice

_Z: Final = 1.959963984540054
_SHARED: Final = 2.25
"""What five folds that share training images widen a variance by (Nadeau and Bengio, 2003)."""


def recall(advice: Advice, label: str, right: int, of: int) -> Accuracy | None:
    """Return the recall of a class; None without images.

    The advice's own where it has one, else Wilson's interval as the server makes it, with
    copies spread evenly over the classes, which the counts do not tell.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    given = (weak.recall for weak in advice.sufficiency.weakest_classes if weak.label == label)
    found = next(given, None)
    if found is not None or not of:
        return found
    n = of / _SHARED * advice.n_different_images / max(1, advice.n_images)
    share = right / of
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * (share * (1 - share) / n + _Z**2 / (4 * n**2)) ** 0.5
    return Accuracy(share, max(0.0, middle - half), min(1.0, middle + half))

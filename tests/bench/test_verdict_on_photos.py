"""A network that does not help, on real photos: the verdict says so."""

from pathlib import Path

import numpy as np

from advice.contestants import Entry, Photos
from advice.verdict import judged
from icecore.probes.advising.deciding import Outcome
from icecore.probes.advising.verdict import HOG


def test_a_network_of_tiny_pictures_hurts_on_clothing(shared: Path) -> None:
    """ResNet-56 of CIFAR-10 sees clothes at 32 x 32 pixels, and HOG at 64 x 64 knows them better.

    300 of 600 photos, ten classes, four layers up to the last, three random twins of it.
    EfficientNet-Lite0 is right on three of four of these photos.
    """
    photos = Photos.of("clothing", "resnet56-cifar10", n_most=300, n_twins=3, n_layers=4)
    y = np.unique(photos.labels, return_inverse=True)[1]
    found, _ = judged(Entry(y, photos.trained, photos.pixels, photos.hog, photos.twins), 0)
    assert (found.kind, found.limiting) == (Outcome.NEGATIVE, HOG)
    differences = {each.baseline: each for each in found.comparisons}
    assert differences[HOG].high < 0.0
    assert differences["majority"].low > 0.0
    assert differences["random twin"].low > 0.0, "it has learnt something, but not enough"

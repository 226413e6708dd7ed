"""An advice to its message: joined layers keep their places and their order."""

from dataclasses import replace

import pytest

from icecore.probes.advising.advice import Advice
from icecore.probes.advising.confusion import Confusion
from icecore.probes.advising.deciding import Outcome
from icecore.probes.advising.layer_contest import LayerAdvice
from icecore.probes.advising.scenario import Recommendation, Scenario, Similarity, Size
from icecore.probes.advising.similarity import Measured
from icecore.probes.advising.sufficiency import Gain, MoreImages, Sufficiency
from icecore.probes.advising.together import Together
from icecore.probes.advising.verdict import Verdict
from icecore.probes.intervals import Accuracy
from icecore.server.rpc.advice_answers import advice
from icecore.server.training.advising.values import Advised

LAYERS = tuple(
    LayerAdvice(backbone, layer, depth, Accuracy(0.8, 0.7, 0.9), 0.1, 6, 100, 1_000)
    for backbone in ("toy", "other")
    for depth, layer in enumerate(("one", "two", "three"), start=1)
)
SAID = Advice(
    classes=("ant", "bee"),
    class_sizes=(10, 10),
    n_different_images=20,
    layers=LAYERS,
    chosen=4,
    cheapest=3,
    last=5,
    accuracy=Accuracy(0.8, 0.7, 0.9),
    verdict=Verdict(Outcome.UNDECIDED, "", Accuracy(0.8, 0.7, 0.9), (), 0.02, 20, None),
    sufficiency=Sufficiency(MoreImages.ENOUGH, 0, (), (), Gain(0.0, 0.0, 0.0, 0.0), ()),
    scenario=Scenario(
        Size.SMALL,
        Similarity.PARTLY,
        Recommendation.PROBE_AT_ANY,
        20,
        None,
        Measured(0.0, 0.0, 0.0),
        False,
    ),
    confusion=Confusion(((10, 0), (0, 10)), ()),
)
ADVISED = Advised("insects", "svm", 0, 20, {}, SAID, {}, 20, 1.0)


@pytest.mark.parametrize("places", [(3, 5), (5, 3, 4), (1, 2)])
def test_joined_layers_are_those_of_the_advice_in_its_order(places: tuple[int, ...]) -> None:
    together = Together(places, Accuracy(0.91, 0.84, 0.96), 0.1, 0.02, 0.17)
    told = advice(replace(ADVISED, advice=replace(SAID, together=together))).joined
    assert [(one.backbone, one.layer, one.depth) for one in told.places] == [
        (LAYERS[place].backbone, LAYERS[place].layer, LAYERS[place].depth) for place in places
    ]
    assert (told.accuracy.estimate, told.accuracy.low, told.accuracy.high) == (0.91, 0.84, 0.96)
    seen = told.difference
    assert (seen.estimate, seen.low, seen.high) == (0.1, 0.02, 0.17)


def test_where_nothing_was_joined_nothing_is_told_of_it() -> None:
    assert not advice(ADVISED).HasField("joined")

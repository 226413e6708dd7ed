"""An advice as JSON has the keys that scripts depend on."""

import json

import pytest

import advices
from icecore.cli.advice_json import advice_json
from icecore.client import Accuracy, Difference
from icecore.client.advice_values import JoinedAdvice, VerdictKind


def test_the_keys_are_those_that_scripts_depend_on() -> None:
    found = advice_json(advices.blood())
    assert {"chosen", "layers", "verdict", "baselines", "sufficiency"} <= set(found)
    assert {"scenario", "confusion", "cheapest", "last", "n_images", "accuracy"} <= set(found)
    assert found["chosen"] == {
        "backbone": "efficientnet-lite0",
        "layer": "blocks.21.expand",
        "depth": 21,
    }
    best = max(found["layers"], key=lambda one: float(one["accuracy"]))
    assert found["highest"] == {key: best[key] for key in found["highest"]}
    first = {"backbone", "layer", "depth", "accuracy", "low", "high", "bytes", "macs"}
    assert first <= set(found["layers"][0])
    assert len(found["layers"]) == 34
    assert found["layers"][-1]["depth"] is None
    assert found["verdict"] == "POSITIVE"
    assert [one["name"] for one in found["baselines"]] == list(advices.BASELINES)
    assert found["sufficiency"]["advice"] == "COLLECT_MORE"
    assert found["sufficiency"]["n_more"] == 123


def test_figures_are_the_advice_s_and_pictures_are_left_out() -> None:
    advice = advices.blood(verdict=advices.verdict(VerdictKind.UNDECIDED, more=310))
    found = advice_json(advice)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["more_images"] == 310
    assert found["layers"][20]["accuracy"] == advice.layers[20].accuracy.estimate
    assert found["layers"][20]["bytes"] == advice.layers[20].n_bytes
    assert found["confusion"]["counts"] == [list(row) for row in advice.confusion.counts]
    assert set(found["confusion"]["examples"][0]) == {"id", "label", "predicted"}


@pytest.mark.parametrize(("low", "is_offered"), [(0.004, True), (0.0, False), (-0.09, False)])
def test_joined_layers_are_offered_where_they_are_surely_better(
    low: float, is_offered: bool
) -> None:
    joined = JoinedAdvice(
        (advices.place(33), advices.place(12)),
        Accuracy(0.93, 0.85, 0.98),
        Difference(0.1, low, 0.2),
    )
    found = advice_json(advices.blood(joined=joined))["joined"]
    assert found["is_offered"] is is_offered
    assert [one["depth"] for one in found["places"]] == [33, 12]
    assert found["difference"] == {"estimate": 0.1, "low": low, "high": 0.2}
    assert advice_json(advices.blood())["joined"] is None

"""An advice as JSON has the keys that scripts depend on."""

import json

import advices
from icecore.cli.advice_json import advice_json
from icecore.client.advice_values import VerdictKind


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

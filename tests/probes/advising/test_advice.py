"""The advice put together: from layers and baselines to everything that is told."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from icecore.probes.advising.advice import Advice, Baselines, advise
from icecore.probes.advising.candidates import Candidate
from icecore.probes.advising.deciding import Outcome
from icecore.probes.advising.layer_contest import LayerContest
from icecore.probes.advising.scenario import Size
from icecore.probes.errors import InputInvalid
from icecore.probes.linear_probe import CodeArray, ProbeKind
from labelled import clouds, names

N, K = 90, 3
CODES, Y = clouds(N, 16, K, separation=1.0)
IMAGES = [f"image-{n}" for n in range(N)]


def noise(seed: int, d: int = 8) -> CodeArray:
    return np.random.default_rng(seed).normal(size=(N, d)).astype(np.float32)


def contest(*layers: CodeArray) -> LayerContest:
    candidates = [
        Candidate("net", f"layer-{depth}", depth, codes, 1000 * depth, 1000 * depth)
        for depth, codes in enumerate(layers, 1)
    ]
    return LayerContest.of(candidates, names(Y), IMAGES, kind=ProbeKind.SOFTMAX, seed=0)


def baselines(twin: CodeArray) -> Baselines:
    return Baselines(noise(1), noise(2), [{"a": noise(seed), "b": twin} for seed in (3, 4, 5)])


def test_codes_that_tell_where_nothing_else_does_are_positive() -> None:
    told: list[tuple[str, float]] = []
    found = advise(
        contest(noise(8), CODES, CODES[:, :2]),
        baselines(noise(9)),
        on_progress=lambda *now: told.append(now),
    )
    assert found.verdict.kind is Outcome.POSITIVE
    assert found.verdict.accuracy == found.accuracy
    assert {one.baseline for one in found.verdict.comparisons} == {
        *("majority", "pixels", "hog", "random twin")
    }
    assert [found.layers[place].depth for place in (found.chosen, found.last)] == [2, 3]
    assert found.scenario.earlier_gain.value > 0.0
    assert (found.scenario.size, found.scenario.familiarity) == (Size.SMALL, None)
    assert (sum(found.class_sizes), found.n_different_images) == (N, N)
    assert found.classes == ("class-00", "class-01", "class-02")

    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages == ["baselines", "curve"]
    for stage in stages:
        shares = [share for one, share in told if one == stage]
        assert shares == sorted(shares)
        assert shares[0] > 0.0
        assert shares[-1] == pytest.approx(1.0)


def test_a_network_no_better_than_its_twin_gains_nothing_to_speak_of() -> None:
    found = advise(contest(CODES), baselines(CODES))
    assert found.verdict.kind in (Outcome.UNDECIDED, Outcome.NO_GAIN)
    assert found.verdict.limiting == "random twin"


def test_the_same_arguments_give_the_same_advice_and_json_can_say_it() -> None:
    def once() -> Advice:
        return advise(contest(noise(8), CODES), baselines(noise(9)), logits=noise(10), seed=4)

    first = once()
    assert first == once()
    assert first.scenario.familiarity is not None
    assert json.loads(json.dumps(asdict(first)))["verdict"]["kind"] == first.verdict.kind.value


def test_images_left_out_count_as_there() -> None:
    """Twenty thousand images are many, whichever ninety of them were judged."""
    args = contest(CODES), baselines(noise(9))
    assert advise(*args).scenario.size is Size.SMALL
    assert advise(*args, n_labelled=20_000).scenario.size is Size.LARGE


def test_each_baseline_is_judged_by_its_own_codes() -> None:
    """One of them tells all, in its turn: of three twins a single one, which a third follows."""
    layers = contest(noise(8), CODES[:, :2])

    def estimates(given: Baselines) -> dict[str, float]:
        found = advise(layers, given).verdict.comparisons
        return {one.baseline: one.accuracy.estimate for one in found}

    blank = [{"a": noise(seed)} for seed in (3, 4, 5)]
    plain = estimates(Baselines(noise(1), noise(2), blank))
    for name, given in (
        ("pixels", Baselines(CODES, noise(2), blank)),
        ("hog", Baselines(noise(1), CODES, blank)),
        ("random twin", Baselines(noise(1), noise(2), [*blank[:2], {"a": CODES}])),
    ):
        changed = {key for key, value in estimates(given).items() if value > plain[key] + 0.1}
        assert changed == {name}


def test_without_a_twin_there_is_no_advice() -> None:
    with pytest.raises(InputInvalid, match="no random twin"):
        advise(contest(CODES), Baselines(noise(1), noise(2), []))

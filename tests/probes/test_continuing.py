"""Going on from an earlier probe: the same probe as from nothing, judged by unseen images."""

from typing import Any

import numpy as np
import pytest

from icecore.probes.continuing import continued
from icecore.probes.cross_validation import Folds
from icecore.probes.errors import ClassesTooFew, CodesInvalid, InputInvalid
from icecore.probes.fitting import fit
from icecore.probes.linear_probe import LinearProbe, ProbeKind
from icecore.probes.preprocessing import Preprocessing, preprocessed
from icecore.probes.selection import train
from labelled import clouds, names, probe_of

SHAPES = [(90, 20), (60, 200)]
"""More images than features, and fewer: these are fitted in another basis."""


IDS = [f"image-{number:03d}" for number in range(100)]


def test_the_estimate_has_not_learnt_what_it_is_judged_on() -> None:
    """Labels without meaning, which the earlier probe knows by heart. Seeds 0..5.

    Folds that began at its weights would know them too; 480 images at .5 have a standard
    error of .023.
    """
    estimates = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        codes = random.normal(size=(80, 200)).astype(np.float32)
        y = random.permutation(np.arange(80) % 2)
        base = probe_of(codes, y, ProbeKind.SOFTMAX, 1.0)
        assert base.predict(codes, tap="tap").labels == tuple(names(y))
        found = continued(
            base, {"x": codes}, names(y), C=1.0, seed=seed, groups=IDS[:80], chosen_on=()
        )
        estimates.append(found.accuracy.estimate)
    assert abs(np.mean(estimates) - 0.5) < 0.08


def test_images_that_chose_do_not_judge() -> None:
    """Thirty layers of noise, seeds 0..5: the one that the folds choose is right on more than
    half of the images that chose it, by luck. 40 new ones a seed tell the truth, and without
    any nothing is told."""
    told, naive = [], []
    for seed in range(6):
        random = np.random.default_rng(seed)
        layers = {str(i): random.normal(size=(100, 6)).astype(np.float32) for i in range(30)}
        y = random.permutation(np.arange(100) % 2)
        early = {key: codes[:60] for key, codes in layers.items()}
        first = train(early, names(y[:60]), kind="softmax", seed=seed, groups=IDS[:60])
        assert first.n_judged == 60
        arguments: dict[str, Any] = {"C": first.C, "seed": seed}
        base, codes = first.probe("tap"), layers[first.key]
        again = continued(
            base, {"x": codes[:60]}, names(y[:60]), groups=IDS[:60], chosen_on=IDS[:60], **arguments
        )
        assert again.n_judged == 0
        assert (again.accuracy.low, again.accuracy.high) == (0.0, 1.0)
        assert (again.predicted == -1).all()
        naive.append(again.naive)
        more = continued(
            base, {"x": codes}, names(y), groups=IDS[:100], chosen_on=IDS[:60], **arguments
        )
        assert more.n_judged == 40
        assert (more.predicted[:60] == -1).all()
        assert (more.predicted[60:] >= 0).all()
        told.append(more.accuracy.estimate)
    assert np.mean(naive) > 0.58
    assert abs(np.mean(told) - 0.5) < 0.08, "240 images: standard error .032"


def test_where_it_is_not_known_what_chose_nothing_is_told() -> None:
    codes, y = clouds(40, 10, 2)
    base = probe_of(codes, y, ProbeKind.SVM, 0.1)
    assert continued(base, {"x": codes}, names(y), C=0.1).n_judged == 0


@pytest.mark.parametrize("kind", ProbeKind)
def test_what_was_chosen_is_kept(kind: ProbeKind) -> None:
    codes, y = clouds(80, 20, 4, separation=0.5)
    few = y < 3
    first = train({"one": codes[few]}, names(y[few]), kind=kind, Cs=(0.01,))
    base = first.probe("tap")
    stages: list[tuple[str, float]] = []
    found = continued(
        base,
        {"one": codes},
        names(y),
        C=first.C,
        groups=IDS[:80],
        chosen_on=(),
        seed=3,
        on_progress=lambda stage, share: stages.append((stage, share)),
    )
    assert (found.kind, found.key, found.C) == (kind, "one", 0.01)
    assert found.preprocessing is first.preprocessing
    assert found.classes == tuple(names(np.arange(4)))
    assert [(trial.key, trial.is_chosen) for trial in found.trials] == [("one", True)]
    outer = Folds.of(y, np.arange(80), 3).outer
    right = found.predicted[outer >= 0] == y[outer >= 0]
    assert found.accuracy.estimate == pytest.approx(right.mean())
    assert stages[0] == ("fitting", 0.0)
    assert stages[-1][1] == pytest.approx(1.0)
    assert [share for _, share in stages] == sorted(share for _, share in stages)


def test_codes_are_preprocessed_as_those_of_the_earlier_probe() -> None:
    codes, y = clouds(60, 12, 3)
    how = Preprocessing.SIGNED_ROOT
    cold = fit(preprocessed(codes, how), y, 3, kind=ProbeKind.SVM, C=0.1)
    base = LinearProbe(
        ProbeKind.SVM, tuple(names(np.arange(3))), cold.weights, cold.bias, "tap", how
    )
    found = continued(base, {"x": codes}, names(y), C=0.1)
    assert found.probe("tap").preprocessing is how
    assert found.fit.objective == pytest.approx(cold.objective, rel=1e-9)


def test_folds_are_those_of_a_training_by_the_same_seed() -> None:
    """So that one C to choose from gives the same held-out answers, but for the folds' gap."""
    codes, y = clouds(100, 20, 3, separation=2.0)
    cold = train(
        {"x": codes},
        names(y),
        kind="softmax",
        Cs=(0.01,),
        seed=5,
        preprocessings=(Preprocessing.NONE,),
    )
    found = continued(
        cold.probe("tap"),
        {"x": codes},
        names(y),
        C=0.01,
        seed=5,
        groups=IDS[:100],
        chosen_on=(),
    )
    assert np.mean(found.predicted == cold.predicted) > 0.97


def test_what_cannot_be_gone_on_from_is_refused() -> None:
    codes, y = clouds(40, 10, 2)
    base = probe_of(codes, y, ProbeKind.SVM, 0.1)
    with pytest.raises(CodesInvalid, match="9 values an image, but the earlier probe has 10"):
        continued(base, {"x": codes[:, :9]}, names(y), C=0.1)
    with pytest.raises(InputInvalid, match=r"C is 0\.0"):
        continued(base, {"x": codes}, names(y), C=0.0)
    with pytest.raises(ClassesTooFew):
        continued(base, {"x": codes}, ["one"] * 40, C=0.1)


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("n", [80, 30])
def test_joined_layers_go_on_as_they_were_joined(kind: ProbeKind, n: int) -> None:
    codes, y = clouds(n, 60, 3, separation=0.3)
    layers = {"a": codes[:, :20], "b": 1e3 * codes[:, 20:25], "c": codes[:, 25:]}
    first = train(layers, names(y), kind=kind, joining=True)
    again = continued(
        first.probe("taps"),
        {key: layers[key] for key in first.joined},
        names(y),
        C=first.C,
    )
    assert (again.keys, again.trials, again.gain) == (first.joined, (), None)
    assert again.fit.objective == pytest.approx(first.fit.objective, rel=1e-9)
    np.testing.assert_allclose(again.fit.weights, first.fit.weights, rtol=1e-3, atol=1e-7)

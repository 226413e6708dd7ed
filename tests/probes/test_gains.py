"""Trainings that join layers: what of the answer is the joined probe's, what the best layer's."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from icecore.probes.cross_validation import Folds
from icecore.probes.joining.joint import join, side_by_side
from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.preprocessing import Preprocessing
from icecore.probes.question import DEFAULT_CS
from icecore.probes.selection import train
from icecore.probes.training_data import TrainingData
from labelled import names


def drowned_logits(n: int) -> tuple[dict[str, Array], np.ndarray]:
    """An offset an image drowns the logits; their softmax does not see it."""
    random = np.random.default_rng(1)
    y = np.arange(n) % 3
    logits = random.normal(size=(n, 3)) + 4.0 * np.eye(3)[y] + 1e4 * random.normal(size=(n, 1))
    return {"layer": random.normal(size=(n, 4)), "logits": logits}, y


def loud_images(n: int) -> tuple[dict[str, Array], np.ndarray]:
    """Images of very different contrast: scaled to one length, codes tell much more."""
    random = np.random.default_rng(2)
    y = random.permutation(np.arange(n) % 3)
    loudness = 10.0 ** random.uniform(-2.0, 2.0, size=(n, 1))
    codes = {
        key: loudness * (random.normal(size=(n, 6)) + strength * np.eye(6)[y])
        for key, strength in (("early", 0.5), ("late", 2.0))
    }
    return codes, y


@pytest.mark.parametrize("kind", ProbeKind)
def test_a_joined_probe_reads_codes_as_they_are_whatever_is_done_to_the_best_layers(
    kind: ProbeKind,
) -> None:
    """Its scores are those of scikit-learn's estimator on codes standardised alike."""
    codes, y = drowned_logits(120)
    outputs: dict[str, Any] = {"kind": kind, "outputs": ["logits"]}
    assert train(codes, names(y), **outputs).preprocessing is Preprocessing.SOFTMAX
    found = train(codes, names(y), joining=True, **outputs)
    assert found.joined == ("layer", "logits")
    assert found.preprocessing is Preprocessing.NONE
    both = side_by_side(codes, found.joined)
    X = found.fit.standardisation.apply(both, slice(0, both.shape[1]))
    model = (
        LinearSVC(C=found.C, dual=False, tol=1e-10, max_iter=100_000)
        if kind is ProbeKind.SVM
        else LogisticRegression(C=found.C, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    )
    theirs = model.fit(X, y).decision_function(X)
    tap = json.dumps(["layer", "logits"])
    ours = found.probe(tap).predict(both, tap=tap)
    scores = np.asarray(ours.scores, np.float64)
    if kind is ProbeKind.SOFTMAX:
        scores = scores - scores.mean(axis=1, keepdims=True)
        theirs = theirs - theirs.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def test_the_gain_is_over_all_that_one_layer_can_be_read_by() -> None:
    """Also its preprocessing: else joined layers would seem better than they are."""
    codes, y = loud_images(150)
    one = train(codes, names(y), kind="softmax")
    both = train(codes, names(y), kind="softmax", joining=True)
    assert one.preprocessing is not Preprocessing.NONE
    plain = max(trial.accuracy.estimate for trial in one.trials)
    assert one.accuracy.estimate > plain + 0.05, "else this tells nothing"
    assert both.gain is not None
    assert both.gain.alone.estimate == one.accuracy.estimate
    assert both.gain.difference == pytest.approx(both.accuracy.estimate - one.accuracy.estimate)
    assert both.gain.low <= both.gain.difference <= both.gain.high < 0.0


def test_what_is_told_of_a_joined_training_is_of_its_layers() -> None:
    """Estimate, naive accuracy, C and predictions are `join`'s; trials are of single layers."""
    codes, y = loud_images(90)
    found = train(codes, names(y), kind="softmax", joining=True, seed=3)
    alone = train(codes, names(y), kind="softmax", seed=3)
    data = TrainingData.of(codes, names(y), None)
    joint = join(
        data,
        Folds.of(data.y, data.groups, 3),
        kind=ProbeKind.SOFTMAX,
        Cs=DEFAULT_CS[ProbeKind.SOFTMAX],
        report=lambda _: None,
    )
    assert (found.joined, found.C, found.naive) == (joint.layers, joint.C, joint.naive)
    np.testing.assert_array_equal(found.predicted, joint.choice.predicted)
    assert found.accuracy.estimate == joint.choice.right.mean()
    assert found.naive != alone.naive, "else this tells nothing"
    assert found.trials == alone.trials


@pytest.mark.parametrize("kind", ProbeKind)
def test_weights_count_in_a_joined_fit_and_in_its_folds(kind: ProbeKind) -> None:
    """One class counts a hundred times: nearly everything unsure is taken for it."""
    random = np.random.default_rng(5)
    y = random.permutation(np.arange(80) % 2)
    codes = {key: random.normal(size=(80, 5)) + 0.3 * y[:, None] for key in ("a", "b")}
    asked: dict[str, Any] = {"kind": kind, "Cs": [1e-2], "joining": True}
    plain = train(codes, names(y), **asked)
    both: list[dict[str, Any]] = [
        {"class_weight": {"class-01": 100.0}},
        {"sample_weight": 1.0 + 99.0 * y},
    ]
    for weights in both:
        heavy = train(codes, names(y), **asked, **weights)
        assert (heavy.predicted == 1).sum() > (plain.predicted == 1).sum() + 10
        assert heavy.fit.bias[0] > plain.fit.bias[0] + 0.1


def test_probabilities_stand_apart_from_the_logits_they_are_made_of() -> None:
    """As neighbours of useless logits they would be averaged with them, and lose."""
    codes, y = drowned_logits(150)
    found = train(
        codes,
        names(y),
        kind="softmax",
        outputs=["logits"],
        positions={"layer": 0.5, "logits": 1.0},
    )
    assert found.trials[1].accuracy.estimate < 0.6
    assert (found.key, found.preprocessing) == ("logits", Preprocessing.SOFTMAX)
    assert found.accuracy.estimate > 0.9

"""A probe's scores, labels and probabilities, and what it refuses."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from icecore.probes.errors import CodesInvalid, InputInvalid, TapMismatch
from icecore.probes.linear_probe import LinearProbe, ProbeKind
from labelled import clouds


def probe_of(kind: ProbeKind, k: int, d: int, seed: int = 0) -> LinearProbe:
    random = np.random.default_rng(seed)
    rows = 1 if k == 2 else k
    return LinearProbe(
        kind=kind,
        classes=tuple(f"c{i}" for i in range(k)),
        weights=random.normal(size=(rows, d)).astype(np.float32),
        bias=random.normal(size=rows),
        tap="tap",
    )


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 3, 5])
def test_scores_are_the_decision_function_of_scikit_learn(kind: ProbeKind, k: int) -> None:
    """With the same weights; the two differ in the order of sums only."""
    codes, y = clouds(60, 7, k)
    model = LogisticRegression() if kind is ProbeKind.SOFTMAX else LinearSVC()
    model.fit(codes / codes.std(axis=0), y)
    model.coef_ = model.coef_.astype(np.float32).astype(np.float64)
    probe = LinearProbe(
        kind,
        tuple(f"c{i}" for i in range(k)),
        model.coef_.astype(np.float32),
        np.asarray(model.intercept_, np.float64),
        "tap",
    )
    theirs = model.decision_function(codes.astype(np.float64))
    ours = probe.predict(codes, tap="tap")
    assert ours.scores.shape == (60, k)
    if k == 2:
        share = 1.0 if kind is ProbeKind.SVM else 0.5
        np.testing.assert_allclose(
            ours.scores, np.stack([-theirs, theirs], axis=1) * share, rtol=1e-12, atol=1e-12
        )
    else:
        np.testing.assert_allclose(ours.scores, theirs, rtol=1e-12, atol=1e-12)
    labels = [f"c{i}" for i in model.predict(codes.astype(np.float64))]
    assert list(ours.labels) == labels


@pytest.mark.parametrize("k", [2, 4])
def test_the_probability_is_the_softmax_of_the_label(k: int) -> None:
    probe = probe_of(ProbeKind.SOFTMAX, k, 6)
    codes = np.random.default_rng(1).normal(size=(9, 6)).astype(np.float16)
    found = probe.predict(codes, tap="tap")
    assert found.probability is not None
    np.testing.assert_allclose(found.probability, softmax(found.scores, axis=1).max(axis=1))
    assert found.labels == tuple(f"c{i}" for i in found.scores.argmax(axis=1))


def test_the_binary_probability_is_the_logistic_function_of_s() -> None:
    probe = probe_of(ProbeKind.SOFTMAX, 2, 3)
    codes = np.eye(3, dtype=np.float32)
    found = probe.predict(codes, tap="tap")
    s = codes.astype(np.float64) @ probe.weights[0] + probe.bias[0]
    assert found.probability is not None
    np.testing.assert_allclose(found.probability, expit(np.abs(s)))


def test_an_svm_has_no_probability() -> None:
    probe = probe_of(ProbeKind.SVM, 3, 4)
    assert probe.predict(np.ones((2, 4), np.float32), tap="tap").probability is None


def test_huge_logits_still_have_a_probability() -> None:
    probe = probe_of(ProbeKind.SOFTMAX, 3, 4)
    found = probe.predict(np.full((1, 4), 3e38, np.float32), tap="tap")
    assert found.probability is not None
    assert found.probability[0] == 1.0


def test_an_image_has_the_same_scores_alone_and_in_a_batch() -> None:
    """Up to the order of float64 sums."""
    probe = probe_of(ProbeKind.SVM, 5, 300)
    codes = np.random.default_rng(2).normal(size=(17, 300)).astype(np.float32)
    alone = np.concatenate([probe.scores(row[None], tap="tap") for row in codes])
    np.testing.assert_allclose(probe.scores(codes, tap="tap"), alone, rtol=1e-12, atol=1e-12)


def test_no_images_have_no_labels() -> None:
    found = probe_of(ProbeKind.SOFTMAX, 3, 4).predict(np.empty((0, 4), np.float32), tap="tap")
    assert found.labels == ()
    assert found.scores.shape == (0, 3)


def test_codes_of_another_tap_are_refused_by_both_names() -> None:
    with pytest.raises(TapMismatch) as refused:
        probe_of(ProbeKind.SVM, 3, 4).scores(np.ones((1, 4), np.float32), tap="another")
    assert str(refused.value) == (
        "codes of tap 'another' were given to a probe fitted on those of tap 'tap'"
    )
    assert refused.value.reason == "TAP_MISMATCH"


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (np.ones((1, 5), np.float32), "codes have 5 values an image, but the probe has 4"),
        (
            np.ones(4, np.float32),
            "codes are 'float32' of shape (4,), but must be a float array of shape (n, d)",
        ),
        (
            np.ones((1, 4), np.int64),
            "codes are 'int64' of shape (1, 4), but must be a float array of shape (n, d)",
        ),
        (
            np.array([[1, 1, 1, 1], [1, np.nan, 1, 1]], np.float32),
            "codes of image 1 hold a value that is not finite",
        ),
    ],
)
def test_wrong_codes_are_refused(codes: np.ndarray, sentence: str) -> None:
    with pytest.raises(CodesInvalid) as refused:
        probe_of(ProbeKind.SVM, 3, 4).scores(codes, tap="tap")
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("classes", "weights", "bias", "words"),
    [
        (("a",), np.ones((1, 2), np.float32), np.zeros(1), "two or more different classes"),
        (("a", "a"), np.ones((1, 2), np.float32), np.zeros(1), "two or more different classes"),
        (("a", "b"), np.ones((2, 2), np.float32), np.zeros(2), "2 classes need (1, d)"),
        (("a", "b", "c"), np.ones((1, 2), np.float32), np.zeros(1), "3 classes need (3, d)"),
        (("a", "b"), np.ones((1, 0), np.float32), np.zeros(1), "2 classes need (1, d)"),
        (("a", "b"), np.ones((1, 2), np.float32), np.zeros(2), "2 classes need (1,)"),
        (("a", "b"), np.ones((1, 2)), np.zeros(1), "must be float32 and float64"),
        (("a", "b"), np.full((1, 2), np.inf, np.float32), np.zeros(1), "not finite"),
    ],
)
def test_a_probe_that_makes_no_sense_cannot_be_made(
    classes: tuple[str, ...], weights: np.ndarray, bias: np.ndarray, words: str
) -> None:
    with pytest.raises(InputInvalid) as refused:
        LinearProbe(ProbeKind.SVM, classes, weights, bias, "tap")
    assert words in str(refused.value)


def test_a_probe_cannot_be_changed_through_its_arrays() -> None:
    probe = probe_of(ProbeKind.SVM, 3, 4)
    with pytest.raises(ValueError, match="read-only"):
        probe.weights[0, 0] = 1.0


def test_probes_are_equal_by_their_numbers() -> None:
    assert probe_of(ProbeKind.SVM, 3, 4) == probe_of(ProbeKind.SVM, 3, 4)
    assert probe_of(ProbeKind.SVM, 3, 4) != probe_of(ProbeKind.SOFTMAX, 3, 4)
    assert probe_of(ProbeKind.SVM, 3, 4) != probe_of(ProbeKind.SVM, 3, 4, seed=1)

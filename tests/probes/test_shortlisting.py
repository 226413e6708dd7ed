"""Shortlists: ridge regression's answers by brute force, and who has a say in them."""

import numpy as np
import pytest

from icecore.probes import searching, shortlisting
from icecore.probes.cross_validation import OUTER_FOLDS, Folds
from icecore.probes.selection import train
from icecore.probes.shortlisting import Guess, guess, shortlists
from icecore.probes.solving.directions import Rotation
from labelled import clouds, names


@pytest.mark.parametrize(("n", "d", "k"), [(40, 6, 2), (30, 50, 3)])
def test_answers_are_those_of_ridge_regression_without_the_image(
    n: int, d: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the intercept free, fitted anew for each image, in each fold and on all."""
    monkeypatch.setattr(shortlisting, "PENALTIES", (1.0,))
    codes, y = clouds(n, d, k, separation=0.4)
    folds = Folds.of(y, np.arange(n), 0)
    features = Rotation.of(codes).features
    found = guess(features, y, k, folds)
    Z = features.Z[:, :-1]
    penalty = np.square(Z).sum() / n
    targets = np.eye(k)[y]

    def answer(train: np.ndarray, image: int) -> bool:
        mean, target = Z[train].mean(axis=0), targets[train].mean(axis=0)
        centred = Z[train] - mean
        H = centred.T @ centred + penalty * np.eye(Z.shape[1])
        weights = np.linalg.solve(H, centred.T @ (targets[train] - target))
        return bool((target + (Z[image] - mean) @ weights).argmax() == y[image])

    rows = np.arange(n)
    wanted = [answer(rows[rows != i], i) for i in range(n)]
    np.testing.assert_array_equal(found.on_all, wanted)
    for fold in range(OUTER_FOLDS):
        inside = folds.outer != fold
        wanted = [bool(inside[i]) and answer(rows[inside & (rows != i)], i) for i in range(n)]
        np.testing.assert_array_equal(found.in_folds[fold], wanted)


def test_labels_of_a_folds_images_have_no_part_in_its_shortlist() -> None:
    codes, y = clouds(60, 20, 3, separation=0.3)
    folds = Folds.of(y, np.arange(60), 0)
    features = Rotation.of(codes).features
    before = guess(features, y, 3, folds)
    for fold in range(OUTER_FOLDS):
        after = guess(features, np.where(folds.outer == fold, (y + 1) % 3, y), 3, folds)
        np.testing.assert_array_equal(after.in_folds[fold], before.in_folds[fold])
        assert (after.on_all != before.on_all).any()


def test_a_layer_with_one_row_for_itself_is_guessed_without_error() -> None:
    """A feature that only one image has: its answer without itself is the others'."""
    codes = np.zeros((12, 3), np.float32)
    codes[0, 0], codes[:, 1] = 1.0, np.arange(12) % 2
    y = np.arange(12) % 2
    found = guess(Rotation.of(codes).features, y, 2, Folds.of(y, np.arange(12), 0))
    assert found.on_all[1:].all()


def test_a_shortlist_holds_the_best_in_the_order_of_the_layers() -> None:
    def right(count: int) -> Guess:
        answers = np.arange(100) < count
        return Guess(np.tile(answers, (OUTER_FOLDS, 1)), answers)

    guesses = {
        name: right(count) for name, count in zip("abcde", (50, 90, 60, 80, 70), strict=True)
    }
    found = shortlists(guesses, None, kept=3)
    assert found.of_all == ("b", "d", "e")
    assert found.of_folds == (("b", "d", "e"),) * OUTER_FOLDS
    assert found.union == {"b", "d", "e"}


def test_a_folds_shortlist_is_made_of_its_own_answers() -> None:
    """What all images say of a layer is not asked: it knows the fold's own labels."""
    right = np.ones(20, np.bool_)
    wrong = ~right

    def of(in_first: np.ndarray, in_others: np.ndarray, on_all: np.ndarray) -> Guess:
        return Guess(np.stack([in_first, *[in_others] * (OUTER_FOLDS - 1)]), on_all)

    guesses = {
        "a": of(right, wrong, wrong),
        "b": of(wrong, right, wrong),
        "c": of(wrong, wrong, right),
    }
    found = shortlists(guesses, None, kept=1)
    assert found.of_folds == (("a",), *[("b",)] * (OUTER_FOLDS - 1))
    assert found.of_all == ("c",)


@pytest.mark.parametrize(("k", "each"), [(1000, 3), (300, 10), (40, 50), (2, 900)])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_thinning_leaves_classes_with_images_to_be_recognised_by(
    k: int, each: int, is_sorted: bool
) -> None:
    y = np.repeat(np.arange(k), each)
    if not is_sorted:
        y = np.random.default_rng(0).permutation(y)
    rows = shortlisting.thinned(y)
    assert len(rows) <= shortlisting.MOST_IMAGES
    assert len(rows) >= shortlisting.MOST_IMAGES / 2
    assert (np.diff(rows) > 0).all()
    sizes = np.bincount(y[rows], minlength=k)
    assert sizes[sizes > 0].min() >= min(each, shortlisting.FEWEST_OF_A_CLASS)


def test_a_thousand_classes_are_told_apart_by_the_layer_that_knows_them() -> None:
    """Ten images of each, in the order of their classes, as names in folders are."""
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(1000), 10)
    centres = random.normal(size=(1000, 24))
    good = Rotation.of((centres[y] + 0.3 * random.normal(size=(10_000, 24))).astype(np.float32))
    noise = Rotation.of(random.normal(size=(10_000, 24)).astype(np.float32))
    folds = Folds.of(y, np.arange(len(y)), 0)
    assert guess(good.features, y, 1000, folds).accuracy > 0.5
    assert guess(noise.features, y, 1000, folds).accuracy < 0.05


def test_layers_that_know_nothing_are_all_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "FEWEST_IMAGES", 30)
    random = np.random.default_rng(0)
    y = random.permutation(np.arange(40) % 4)
    layers = {str(i): np.zeros((40, 3), np.float32) for i in range(11)}
    shares: list[float] = []
    found = train(layers, names(y), kind="svm", on_progress=lambda _, share: shares.append(share))
    assert len(found.trials) == 11
    assert shares == sorted(shares), "what was guessed in vain was work all the same"


def test_layers_too_large_to_be_rotated_are_all_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "FEWEST_IMAGES", 30)
    monkeypatch.setattr(searching, "ROTATED_UP_TO", 4)
    codes, y = clouds(40, 5, 2)
    found = train({str(i): codes for i in range(11)}, names(y), kind="svm")
    assert len(found.trials) == 11


def test_of_many_layers_the_good_one_is_found_and_few_are_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searching, "FEWEST_IMAGES", 60)
    random = np.random.default_rng(0)
    codes, y = clouds(80, 20, 4, separation=3.0)
    layers = {str(i): random.normal(size=(80, 8)).astype(np.float32) for i in range(14)}
    layers["7"] = codes
    heard: list[tuple[str, float]] = []
    found = train(
        layers,
        names(y),
        kind="softmax",
        on_progress=lambda stage, share: heard.append((stage, share)),
    )
    assert found.key == "7"
    assert found.accuracy.estimate > 0.9
    assert len(found.trials) < 14
    assert found.n_layers == 14, "those that fell out were there to choose from"
    whole = train(layers, names(y), kind="softmax", may_shortlist=False)
    assert len(whole.trials) == whole.n_layers == 14, "whoever names layers wants to see them"
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert heard[-1] == ("fitting", 1.0)

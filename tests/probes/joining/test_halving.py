"""Halving against its definition: ridge regression by explicit solve, and by leaving out."""

import numpy as np
import pytest

from icecore.probes import shortlisting
from icecore.probes.cross_validation import Folds
from icecore.probes.joining.halving import _lengths, halvings
from icecore.probes.linear_probe import Array
from icecore.probes.shortlisting import PENALTIES
from icecore.probes.solving.standardising import Standardisation
from icecore.probes.training_data import TrainingData
from labelled import names

FEW_CLASSES = 3


def layers_of(random: np.random.Generator, y: np.ndarray, *, n_layers: int) -> dict[str, Array]:
    """Codes of 2 to 9 values, each layer knowing a little of the class."""
    codes = {}
    for place in range(n_layers):
        width = int(random.integers(2, 10))
        codes[f"layer{place:02}"] = random.normal(
            size=(len(y), width)
        ) + random.normal() * np.outer(y == place % FEW_CLASSES, random.normal(size=width))
    return codes


def ridge(Z: Array, targets: Array, penalty: float) -> tuple[Array, Array]:
    """Return weights (d, k) and intercepts (k,), which are free, in the features themselves."""
    mean, middle = Z.mean(axis=0), targets.mean(axis=0)
    system = (Z - mean).T @ (Z - mean) + penalty * np.eye(Z.shape[1])
    weights = np.linalg.solve(system, (Z - mean).T @ (targets - middle))
    return weights, middle - mean @ weights


def lengths_by_definition(parts: dict[str, Array], targets: Array) -> dict[str, float]:
    """Refit without each image, for each penalty; the weights are of the best one, on all."""
    Z = np.concatenate(list(parts.values()), axis=1)
    n = len(Z)
    energy = float(np.square(Z - Z.mean(axis=0)).sum()) / n
    n_right = []
    for share in PENALTIES:
        right = 0
        for image in range(n):
            rest = np.arange(n) != image
            weights, intercept = ridge(Z[rest], targets[rest], share * energy)
            right += (Z[image] @ weights + intercept).argmax() == targets[image].argmax()
        n_right.append(right)
    weights, _ = ridge(Z, targets, PENALTIES[int(np.argmax(n_right))] * energy)
    ends = np.cumsum([part.shape[1] for part in parts.values()])
    return {
        key: float(np.square(weights[end - part.shape[1] : end]).sum())
        for (key, part), end in zip(parts.items(), ends, strict=True)
    }


@pytest.mark.parametrize("seed", range(12))
def test_a_layers_share_is_the_length_of_its_weights_by_the_penalty_that_leaving_out_prefers(
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    y = random.permutation(np.repeat(np.arange(FEW_CLASSES), (13, 9, 5)))
    parts = {key: 0.4 * codes + 0.1 for key, codes in layers_of(random, y, n_layers=4).items()}
    targets = np.eye(FEW_CLASSES)[y]
    kernels = {key: (X @ X.T).astype(np.float32) for key, X in parts.items()}
    expected = lengths_by_definition(parts, targets)
    found = _lengths(kernels, targets)
    assert found.keys() == expected.keys()
    for key, length in expected.items():
        assert found[key] == pytest.approx(length, rel=2e-3), key


def test_units_that_are_repeated_do_not_keep_a_layer() -> None:
    random = np.random.default_rng(1)
    y = random.permutation(np.arange(60) % FEW_CLASSES)
    codes = layers_of(random, y, n_layers=16)
    wide = {
        key: np.tile(array, (1, 8)) if place % 2 else array
        for place, (key, array) in enumerate(codes.items())
    }
    assert sets_of(codes, y) == sets_of(wide, y)


def test_the_halved_sets_are_those_of_the_definition() -> None:
    random = np.random.default_rng(2)
    y = random.permutation(np.arange(45) % FEW_CLASSES)
    codes = layers_of(random, y, n_layers=8)
    folds = Folds.of(y, np.arange(45), 0)
    by_fold, by_all = sets_of(codes, y)
    for seen, sets in [
        *((folds.outer != fold, sets) for fold, sets in enumerate(by_fold)),
        (folds.outer >= 0, by_all),
    ]:
        parts = {}
        for key, array in codes.items():
            X = (array - array.mean(axis=0)) / Standardisation.of(array).scale
            parts[key] = X[seen] / np.sqrt(X.shape[1])
        lengths = lengths_by_definition(parts, np.eye(FEW_CLASSES)[y[seen]])
        longest = sorted(codes, key=lambda key: -lengths[key])[:4]
        assert sets == (tuple(codes), tuple(sorted(longest)))


def test_a_fold_of_thinned_images_halves_without_those_it_holds_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More images than are looked at: rows and folds stay those of the same images."""
    monkeypatch.setattr(shortlisting, "MOST_IMAGES", 60)
    random = np.random.default_rng(3)
    y = np.arange(140) % FEW_CLASSES
    codes = layers_of(random, y, n_layers=16)
    ways = {key: Standardisation.of(array) for key, array in codes.items()}
    folds = Folds.of(y, np.arange(140), 0)
    before, _ = halvings(TrainingData.of(codes, names(y), None), folds, ways)
    for fold in range(len(before)):
        held = np.flatnonzero(folds.outer == fold)
        mixed = {key: array.copy() for key, array in codes.items()}
        for array in mixed.values():
            array[held] = 5.0 * random.normal(size=(len(held), array.shape[1]))
        after, _ = halvings(TrainingData.of(mixed, names(y), None), folds, ways)
        assert after[fold] == before[fold]
        assert after != before, "the others look at them"


def sets_of(
    codes: dict[str, Array], y: np.ndarray
) -> tuple[tuple[tuple[tuple[str, ...], ...], ...], tuple[tuple[str, ...], ...]]:
    ways = {key: Standardisation.of(array) for key, array in codes.items()}
    folds = Folds.of(y, np.arange(len(y)), 0)
    return halvings(TrainingData.of(codes, names(y), None), folds, ways)

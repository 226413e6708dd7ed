"""Ranges from streaming histograms: percentiles, whatever the order and the batches."""

import numpy as np
import pytest

from icecore.server.backbones.quantising.histograms import N_BINS, Histogram

SEED = 20240805


def counted(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part.astype(np.float32))
    return histogram


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e7])
def test_a_range_is_numpys_percentiles_to_a_bin(scale: float) -> None:
    values = np.random.default_rng(SEED).normal(size=100_000) * scale
    low, high = counted(values).range(99.0)
    expected = np.percentile(values.astype(np.float32), [0.5, 99.5])
    # A bin is a power of two wide, so at most 1/2048 of the largest value.
    np.testing.assert_allclose([low, high], expected, atol=2 * np.abs(values).max() / N_BINS)


def test_values_that_are_never_negative_lose_their_tail_on_one_side() -> None:
    values = np.maximum(np.random.default_rng(SEED).normal(size=100_000), 0)
    low, high = counted(values).range(99.0)
    assert low == 0.0
    np.testing.assert_allclose(high, np.percentile(values, 99.0), atol=2 * values.max() / N_BINS)


def test_order_and_batches_change_nothing() -> None:
    random = np.random.default_rng(SEED)
    values = random.normal(size=10_000) * 2.0 ** random.integers(-20, 20, 10_000)
    once = counted(values)
    # From small to large, so that bins are widened many times over what they hold.
    parts = counted(*np.array_split(values[np.argsort(np.abs(values))], 37))
    np.testing.assert_array_equal(parts._counts, once._counts)
    for percentile in (90.0, 99.9, 100.0):
        assert parts.range(percentile) == once.range(percentile)


def test_all_of_it_is_from_the_least_to_the_largest_value() -> None:
    values = np.array([-3.25, 0.5, 7.125])
    assert counted(values).range(100.0) == (-3.25, 7.125)


def test_zero_is_always_inside() -> None:
    assert counted(np.array([2.0, 3.0])).range(100.0) == (0.0, 3.0)
    assert counted(np.array([-2.0, -3.0])).range(100.0) == (-3.0, 0.0)
    assert counted(np.zeros(5)).range(99.99) == (0.0, 0.0)


def test_what_is_not_finite_is_not_counted() -> None:
    with pytest.raises(FloatingPointError):
        counted(np.array([1.0, np.nan]))
    with pytest.raises(FloatingPointError):
        counted(np.array([1.0, np.inf]))

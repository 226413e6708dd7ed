"""Weights and steps in 8 bits, against float64."""

import numpy as np
import pytest

from icecore.server.backbones.quantising.weights import Step, quantise_weights

SEED = 20240805


@pytest.mark.parametrize(
    ("shape", "axis"), [((6, 4, 3, 3), 0), ((8, 1, 5, 5), 0), ((6, 5), 0), ((6, 5), 1)]
)
def test_a_weight_is_off_by_half_a_step_of_its_channel(shape: tuple[int, ...], axis: int) -> None:
    weight = np.random.default_rng(SEED).normal(size=shape).astype(np.float32)
    whole = quantise_weights(weight, None, Step.of(0.0, 6.0), axis=axis)
    along = [1] * weight.ndim
    along[axis] = -1
    scales = whole.scales.astype(np.float64).reshape(along)
    others = tuple(i for i in range(weight.ndim) if i != axis)
    np.testing.assert_allclose(whole.scales, np.abs(weight).max(axis=others) / 127, rtol=1e-6)
    assert (np.abs(whole.values * scales - weight) <= scales * 0.5001).all()


@pytest.mark.parametrize(
    ("shape", "n_in"), [((6, 4, 3, 3), 4), ((8, 1, 3, 3), 8), ((6, 2, 1, 1), 6), ((6, 5), 5)]
)
def test_the_corrected_bias_keeps_each_channels_mean(shape: tuple[int, ...], n_in: int) -> None:
    """On an input that is its mean everywhere, what rounding adds is gone to half a step."""
    random = np.random.default_rng(SEED)
    weight = random.normal(size=shape).astype(np.float32)
    bias = random.normal(size=shape[0]).astype(np.float32)
    means = random.uniform(0, 3, n_in)
    step = Step.of(0.0, 6.0)
    whole = quantise_weights(weight, bias, step, axis=0, means=means)
    assert whole.bias is not None
    units = whole.scales.astype(np.float64)
    groups = n_in // shape[1]
    for o in range(shape[0]):
        group = o * groups // shape[0]
        read = means[group * shape[1] : (group + 1) * shape[1]]
        read = read.reshape(-1, *[1] * (len(shape) - 2))
        exact = (weight[o].astype(np.float64) * read).sum() + float(bias[o])
        made = (whole.values[o] * units[o] * read).sum()
        made += float(whole.bias[o]) * units[o] * float(step.scale)
        assert abs(made - exact) <= 0.501 * units[o] * float(step.scale)


def test_a_channel_of_zeros_keeps_its_bias() -> None:
    """As pruned networks have them; its bias would need more than 32 bits of tiny steps."""
    bias = np.array([3.5, -2.0], np.float32)
    step = Step.of(0.0, 1.0)
    whole = quantise_weights(np.zeros((2, 3, 1, 1), np.float32), bias, step, axis=0)
    assert whole.bias is not None
    assert (np.abs(whole.bias.astype(np.int64)) <= 1.0001 * 2**30).all()
    made = whole.bias * whole.scales.astype(np.float64) * float(step.scale)
    np.testing.assert_allclose(made, bias, rtol=1e-6)


def test_zero_is_exact_and_both_ends_are_within_half_a_step() -> None:
    for low, high in ((-1.0, 3.0), (-5.0, 0.0), (0.0, 6.0), (-1e-3, 1e3), (0.0, 0.0)):
        step = Step.of(low, high)
        least, most = (np.array([0, 255]) - int(step.zero_point)) * float(step.scale)
        assert least - low <= 0.5001 * step.scale
        assert high - most <= 0.5001 * step.scale
        assert step.scale > 0


def test_a_threshold_is_not_passed_by_rounding() -> None:
    """ONNX Runtime leaves a Clip at 6 to the quantiser only where 255 steps are 6 at most."""
    for high in np.random.default_rng(SEED).uniform(0.01, 100, 1000).astype(np.float32):
        step = Step.of(0.0, float(high))
        assert np.float32(255) * step.scale <= high
        assert step.zero_point == 0


@pytest.mark.parametrize("high", [1e-45, 1e-42, 1e-38, 1e-30, 1e-28, 2e-28])
def test_values_below_the_smallest_step_have_one_at_once(high: float) -> None:
    """Probabilities that underflow; zero is the only code near them."""
    step = Step.of(0.0, float(np.float32(high)))
    assert 0 < step.scale <= max(2.0**-99, high / 254)
    assert step.zero_point == 0


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (0.0, 6.0), (-1e-3, 6.0), (-6.0, 0.0)])
def test_a_signed_step_has_a_code_below_zero(low: float, high: float) -> None:
    step = Step.of(low, high, is_signed=True)
    assert step.zero_point >= 1
    assert float(step.scale) * (255 - int(step.zero_point)) >= high * (1 - 1e-6)
    assert step.scale <= max(2.0**-99, (high - low) / 250)

"""The shares of an advice's stages: all of it, in order, and about as long as they take."""

import json

import numpy as np
import pytest

from icecore.probes.advising.advice import TWIN_SEEDS
from icecore.probes.advising.descriptors import hog, pixels
from icecore.server.training.advising.looking import HOG_SIDE, PIXELS_SIDE
from icecore.server.training.advising.stages import (
    DESCRIPTOR_DIMS,
    JOINING,
    JUDGING,
    TWINS,
    Stages,
)

LITE0 = (
    *(2 * [32] + 2 * [96] + 4 * [144] + 4 * [240] + 6 * [480] + 6 * [672] + 8 * [1152]),
    *(1280, 1000),
)
"""Of EfficientNet-Lite0's depths and its outputs."""

TWELVE = (96, 144, 144, 240, 480, 480, 672, 672, 1152, 1152, 1152, 1280)
MACS = 384_000_000


def stages(n: int, *, joined_dims: tuple[int, ...] = LITE0) -> Stages:
    return Stages.of(
        n, dims=LITE0, twin_dims=TWELVE, joined_dims=joined_dims, macs=MACS, computed_macs=MACS
    )


@pytest.mark.parametrize("n", [4, 182, 2_000, 20_000])
def test_stages_follow_each_other_and_are_the_whole(n: int) -> None:
    found = stages(n)
    assert list(found.shares) == ["codes", "layers", "twins", "baselines", "curve"]
    end = 0.0
    for stage, (begin, width) in found.shares.items():
        assert begin == pytest.approx(end)
        assert found.at(stage, 0.0) == begin
        assert found.at(stage, 1.0) == pytest.approx(begin + width)
        end = begin + width
    assert end == pytest.approx(1.0)
    assert found.drawn(1.0) == found.looked(0.0)
    assert found.looked(1.0) == 1.0


@pytest.mark.parametrize(
    ("n", "measured"),
    [
        (182, {"codes": 0.06, "layers": 0.13, "twins": 0.54, "baselines": 0.21, "curve": 0.06}),
        (960, {"codes": 0.04, "layers": 0.33, "twins": 0.19, "baselines": 0.42, "curve": 0.03}),
    ],
)
def test_they_are_about_as_long_as_was_measured(n: int, measured: dict[str, float]) -> None:
    """Of blood cells and of letters, on a machine of two cores: no share is off by a tenth.

    Layers read together, a part of "baselines", were timed apart, beside the layers."""
    found = {stage: width for stage, (_, width) in stages(n).shares.items()}
    assert found == pytest.approx(measured, abs=0.1)


@pytest.mark.parametrize("n", [182, 2_000])
def test_layers_read_together_take_their_time_among_the_baselines(n: int) -> None:
    """Told in the time of the same layers judged one by one; no other stage grows by it."""

    def of_layers(found: Stages, stage: str) -> float:
        return found.shares[stage][1] / found.shares["layers"][1]

    joined, apart = stages(n), stages(n, joined_dims=())
    more = of_layers(joined, "baselines") - of_layers(apart, "baselines")
    assert more == pytest.approx(JOINING / JUDGING)
    for stage in ("codes", "twins", "curve"):
        assert of_layers(joined, stage) == pytest.approx(of_layers(apart, stage))


def test_they_are_the_same_on_the_other_side_of_the_pipe() -> None:
    found = stages(182)
    assert Stages.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_what_is_known_of_the_baselines_is_what_they_are() -> None:
    """Written down twice, for the server is not to import what makes them."""
    small = np.zeros((1, PIXELS_SIDE, PIXELS_SIDE, 3), np.uint8)
    middle = np.zeros((1, HOG_SIDE, HOG_SIDE, 3), np.uint8)
    assert (pixels(small).shape[1], hog(middle).shape[1]) == DESCRIPTOR_DIMS
    assert TWINS == TWIN_SEEDS

"""What is done to codes by themselves: laws of each kind, and that a probe does it again."""

import numpy as np
import pytest

from icecore.probes.linear_probe import LinearProbe, ProbeKind
from icecore.probes.preprocessing import FOR_ANY, Preprocessing, preprocessed
from icecore.probes.selection import train
from labelled import clouds, names

SCALED = [Preprocessing.L2, Preprocessing.SIGNED_ROOT]


def codes() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(30, 17)).astype(np.float32)


def test_nothing_done_is_the_very_array() -> None:
    given = codes()
    assert preprocessed(given, Preprocessing.NONE) is given


@pytest.mark.parametrize("how", SCALED)
@pytest.mark.parametrize("factor", [1e-20, 1e-3, 7.0, 1e15])
def test_brightness_does_not_matter(how: Preprocessing, factor: float) -> None:
    given = codes()
    scaled = (given * np.float32(factor)).astype(np.float32)
    np.testing.assert_allclose(preprocessed(scaled, how), preprocessed(given, how), rtol=1e-5)


@pytest.mark.parametrize("how", SCALED)
def test_every_code_has_the_length_of_ones(how: Preprocessing) -> None:
    found = preprocessed(codes(), how)
    np.testing.assert_allclose(np.square(found).mean(axis=1), 1.0, rtol=1e-5)


def test_the_root_keeps_signs_and_evens_out() -> None:
    given = np.array([[4.0, -9.0, 0.0]], np.float64)
    found = preprocessed(given, Preprocessing.SIGNED_ROOT)
    np.testing.assert_allclose(found, np.array([[2.0, -3.0, 0.0]]) * np.sqrt(3 / 13))


@pytest.mark.parametrize("how", SCALED)
def test_a_code_of_nothing_stays_nothing(how: Preprocessing) -> None:
    assert not preprocessed(np.zeros((2, 5), np.float16), how).any()
    dust = np.full((2, 5), 1e-31)
    assert not preprocessed(dust**2, how).any(), "rounding is not made loud"


@pytest.mark.parametrize("how", SCALED)
def test_an_image_is_the_same_alone_and_among_others(how: Preprocessing) -> None:
    given = codes()
    np.testing.assert_array_equal(preprocessed(given, how)[3:4], preprocessed(given[3:4], how))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float64_alone_stays_float64(dtype: str) -> None:
    found = preprocessed(codes().astype(dtype), Preprocessing.L2)
    assert found.dtype == ("float64" if dtype == "float64" else "float32")


@pytest.mark.parametrize("how", FOR_ANY)
def test_a_probe_does_again_what_it_was_trained_with(how: Preprocessing) -> None:
    given, y = clouds(60, 12, 3, separation=0.5)
    found = train({"a": given}, names(y), kind=ProbeKind.SOFTMAX, preprocessings=[how])
    assert found.preprocessing is how
    probe = found.probe("tap")
    plain = LinearProbe(probe.kind, probe.classes, probe.weights, probe.bias, "tap")
    np.testing.assert_array_equal(
        probe.scores(given, tap="tap"), plain.scores(preprocessed(given, how), tap="tap")
    )
    right = np.array(probe.predict(given, tap="tap").labels) == np.array(names(y))
    assert right.mean() >= found.accuracy.estimate


def test_images_of_any_brightness_ask_for_length_one() -> None:
    """Three directions, each image by a factor of its own up to a thousand: the folds find it."""
    random = np.random.default_rng(0)
    y = np.arange(150) % 3
    directions = random.random((3, 20)) + 0.2
    shapes = directions[y] * random.lognormal(0.0, 0.3, size=(150, 20))
    given = (shapes * 10.0 ** random.uniform(-1.5, 1.5, size=(150, 1))).astype(np.float32)
    found = train({"a": given}, names(y), kind="svm")
    assert found.preprocessing is not Preprocessing.NONE
    plain = train({"a": given}, names(y), kind="svm", preprocessings=[Preprocessing.NONE])
    assert found.accuracy.estimate > plain.accuracy.estimate + 0.1


def test_where_all_do_alike_nothing_is_done() -> None:
    given, y = clouds(60, 20, 3, separation=3.0)
    assert train({"a": given}, names(y), kind="svm").preprocessing is Preprocessing.NONE

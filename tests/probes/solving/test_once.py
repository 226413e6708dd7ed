"""Values made once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from icecore.probes.solving.directions import Directions
from icecore.probes.solving.once import Once


def test_many_threads_make_a_value_once() -> None:
    once, made, barrier = Once(), [], Barrier(8)

    def make() -> object:
        sum(range(1_000_000))  # long enough for the others to come
        made.append(object())
        return made[-1]

    def want(_: int) -> object:
        barrier.wait(timeout=30)
        return once.get("value", make)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(want, range(8)))
    assert len(made) == 1
    assert found == made * 8


def test_a_value_may_be_none_and_names_are_apart() -> None:
    once, made = Once(), []
    for name in ("a", "b", "a"):
        assert once.get(name, lambda name=name: made.append(name)) is None  # type: ignore[misc]
    assert made == ["a", "b"]


def test_inner_products_are_kept_for_each_precision() -> None:
    features = Directions(np.random.default_rng(0).normal(size=(9, 4)))
    rows = np.array([1, 5])
    for dtype in (np.float32, np.float64):
        found = features.inner_products(rows, rows, np.dtype(dtype))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, features.Z[rows] @ features.Z[rows].T, rtol=1e-5)

"""The index gives exactly what a float64 scan gives, on kind data and on nasty data."""

import numpy as np
import numpy.typing as npt
import pytest

from icecore.server.search import exact_index
from icecore.server.search.exact_index import ExactIndex
from icecore.server.search.metrics import Metric, exact_scores

METRICS = list(Metric)


def plain_scores(
    metric: Metric, codes: npt.NDArray[np.float64], query: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The textbook's formulas, written independently of the module's."""
    if metric is Metric.L2:
        return np.asarray(np.linalg.norm(codes - query, axis=1))
    if metric is Metric.INNER_PRODUCT:
        return np.asarray(codes @ query)
    lengths = np.linalg.norm(codes, axis=1) * np.linalg.norm(query)
    return np.where(lengths == 0, 0, (codes @ query) / np.where(lengths == 0, 1, lengths))


def scan(
    metric: Metric, codes: npt.NDArray[np.floating], query: npt.NDArray[np.float32], k: int
) -> list[tuple[int, float]]:
    """Every row in float64, best first, ties by row."""
    scores = exact_scores(metric, codes.astype(np.float64), query.astype(np.float64))
    order = np.lexsort((np.arange(len(scores)), scores if metric.is_ascending else -scores))[:k]
    return [(int(i), float(scores[i])) for i in order]


def nasty(name: str, random: np.random.Generator) -> npt.NDArray[np.floating]:
    """(n, d) float32 or float16 that a float32 search alone would rank wrongly."""
    n, d = int(random.integers(1, 700)), int(random.integers(1, 96))
    plain = random.standard_normal((n, d))
    match name:
        case "plain":
            codes = plain
        case "like codes":
            codes = np.maximum(plain, 0) * np.geomspace(3, 0.01, d)
        case "near duplicates":
            codes = plain[random.integers(0, 3, n)] * (1 + 1e-7 * random.standard_normal((n, d)))
        case "far from zero":
            codes = 1e4 + 1e-3 * plain
        case "a few huge":
            codes = plain * np.where(random.random(n) < 0.02, 1e30, 1.0)[:, None]
        case "all lengths":
            codes = plain * 10.0 ** random.integers(-30, 30, n)[:, None]
        case "largest floats":
            codes = np.sign(plain) * 3.4e38
        case "denormal":
            codes = plain * 1e-41
        case "zeros":
            codes = plain * (random.random(n) < 0.5)[:, None]
        case "nothing but zeros":
            codes = np.zeros((n, d))
        case "whole numbers":
            codes = np.rint(plain)
        case "one direction":
            codes = np.abs(plain[:1]) * np.abs(random.standard_normal((n, 1)))
        case "float16":
            return (plain * 100).astype(np.float16)
        case _:
            raise ValueError(name)
    return codes.astype(np.float32)


NASTY = [
    "plain",
    "like codes",
    "near duplicates",
    "far from zero",
    "a few huge",
    "all lengths",
    "largest floats",
    "denormal",
    "zeros",
    "nothing but zeros",
    "whole numbers",
    "one direction",
    "float16",
]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", NASTY)
def test_the_index_equals_a_float64_scan(name: str, metric: Metric) -> None:
    for seed in range(8):
        random = np.random.default_rng([seed, NASTY.index(name)])
        codes = nasty(name, random)
        n, d = codes.shape
        k = int(random.integers(1, 30))
        queries = np.concatenate(
            [
                codes[random.integers(0, n, 3)].astype(np.float32),
                random.standard_normal((2, d)).astype(np.float32),
                np.zeros((1, d), np.float32),
                np.float32(3e37) * np.sign(random.standard_normal((1, d))).astype(np.float32),
            ]
        )
        index = ExactIndex(codes, is_cosine=metric is Metric.COSINE)
        found = index.nearest(queries, metric=metric, k=k)
        rows = np.flatnonzero(random.random(n) < 0.6)
        found_rows = index.nearest(queries, metric=metric, k=k, rows=rows)
        for i, query in enumerate(queries):
            where = f"seed {seed}, {n} x {d}, query {i}"
            assert found[i] == scan(metric, codes, query, k), where
            expected = [(int(rows[at]), s) for at, s in scan(metric, codes[rows], query, k)]
            assert found_rows[i] == expected, where


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_of_rows_are_put_together(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_index, "_BLOCK_BYTES", 8 * 16 * 50)
    random = np.random.default_rng(8)
    codes = random.standard_normal((600, 16)).astype(np.float16)
    queries = random.standard_normal((3, 16)).astype(np.float32)
    rows = np.flatnonzero(random.random(600) < 0.9)
    index = ExactIndex(codes, is_cosine=metric is Metric.COSINE)
    found = index.nearest(queries, metric=metric, k=20, rows=rows)
    for query, hits in zip(queries, found, strict=True):
        assert hits == [(int(rows[i]), s) for i, s in scan(metric, codes[rows], query, 20)]


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_the_textbook(metric: Metric) -> None:
    random = np.random.default_rng(3)
    codes = random.standard_normal((50, 300))
    codes[7] = 0
    query = random.standard_normal(300)
    ours = exact_scores(metric, codes, query)
    # 300 sums of numbers near 1 in float64 differ by order of summation alone.
    assert np.allclose(ours, plain_scores(metric, codes, query), rtol=1e-13, atol=1e-12)
    assert np.array_equal(ours[20:31], exact_scores(metric, codes[20:31], query)), (
        "a row's score does not depend on the rows beside it"
    )


def test_a_zero_vector_has_cosine_zero_and_never_nan() -> None:
    codes = np.array([[1, 0], [0, 0], [-1, 0]], np.float32)
    index = ExactIndex(codes, is_cosine=True)
    assert index.nearest(codes[:1], metric=Metric.COSINE, k=3) == [[(0, 1.0), (1, 0.0), (2, -1.0)]]
    assert index.nearest(codes[1:2], metric=Metric.COSINE, k=3) == [[(0, 0), (1, 0), (2, 0)]]


def test_l2_is_the_distance_and_not_its_square() -> None:
    index = ExactIndex(np.array([[0, 0], [3, 4]], np.float16), is_cosine=False)
    query = np.zeros((1, 2), np.float32)
    assert index.nearest(query, metric=Metric.L2, k=2) == [[(0, 0.0), (1, 5.0)]]


def test_ties_come_in_order_of_row() -> None:
    codes = np.ones((500, 8), np.float16)
    for metric in METRICS:
        index = ExactIndex(codes, is_cosine=metric is Metric.COSINE)
        [hits] = index.nearest(np.ones((1, 8), np.float32), metric=metric, k=5)
        assert [row for row, _ in hits] == [0, 1, 2, 3, 4], metric


def test_ordinary_codes_are_proven_by_their_first_candidates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the proof would be worth nothing: every search would be a float64 scan."""
    random = np.random.default_rng(0)
    codes = np.maximum(random.standard_normal((4000, 1280)), 0).astype(np.float16)
    queries = np.maximum(random.standard_normal((4, 1280)), 0).astype(np.float32)
    scored: list[int] = []

    def counting(
        metric: Metric, rows: npt.NDArray[np.float64], query: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        scored.append(len(rows))
        return exact_scores(metric, rows, query)

    monkeypatch.setattr(exact_index, "exact_scores", counting)
    for metric in METRICS:
        index = ExactIndex(codes, is_cosine=metric is Metric.COSINE)
        index.nearest(queries, metric=metric, k=10)
    assert max(scored) <= 4 * 74, f"{scored} rows were scored in float64"


def test_the_margin_covers_what_float32_really_loses() -> None:
    """Approximate scores of faiss stay within the margin that the proof assumes."""
    random = np.random.default_rng(5)
    for name in ("plain", "far from zero", "like codes", "float16", "denormal"):
        codes = nasty(name, random)
        query = codes[0].astype(np.float64)
        for metric in METRICS:
            index = ExactIndex(codes, is_cosine=metric is Metric.COSINE)
            scan_query = index._scan_query(query, metric)
            if scan_query is None:
                continue
            n = len(codes)
            near, rows = index._candidates(scan_query.vector[None], metric, n, None)
            true = exact_scores(metric, codes[rows[0]].astype(np.float64), query)
            scaled = true * scan_query._scale
            off = np.abs(near[0] - (scaled**2 if metric is Metric.L2 else scaled)).max()
            assert off <= scan_query._margin, (name, metric)


def test_an_index_counts_its_bytes() -> None:
    """float16 codes and their float32 copy; float32 codes of ordinary length need none."""
    assert ExactIndex(np.ones((10, 8), np.float16), is_cosine=False).n_bytes == 10 * 8 * (2 + 4)
    assert ExactIndex(np.ones((10, 8), np.float32), is_cosine=False).n_bytes == 10 * 8 * 4
    assert ExactIndex(np.ones((10, 8), np.float32), is_cosine=True).n_bytes == 10 * 8 * (4 + 4)


def test_an_index_made_for_another_metric_is_refused() -> None:
    index = ExactIndex(np.ones((1, 2), np.float32), is_cosine=True)
    with pytest.raises(ValueError, match="not made for 'l2'"):
        index.nearest(np.ones((1, 2), np.float32), metric=Metric.L2, k=1)

"""Every layer judged in the same folds, the choice repeated inside them, and what layers cost."""

from dataclasses import replace

import numpy as np
import pytest

from icecore.probes.advising.candidates import Candidate
from icecore.probes.advising.layer_contest import LayerContest
from icecore.probes.choosing import choose
from icecore.probes.cross_validation import Folds, judge
from icecore.probes.errors import InputInvalid
from icecore.probes.linear_probe import CodeArray, ProbeKind
from icecore.probes.question import DEFAULT_CS
from labelled import clouds, names

N, K = 60, 3
CODES, Y = clouds(N, 12, K, separation=0.5)
NOISE = np.random.default_rng(7).normal(size=(N, 12)).astype(np.float32)
IMAGES = [f"image-{n}" for n in range(N)]


def candidate(
    depth: int, codes: CodeArray, *, backbone: str = "net", n_bytes: int | None = None
) -> Candidate:
    n_bytes = 1000 * (depth or 9) if n_bytes is None else n_bytes
    return Candidate(backbone, f"layer-{depth}", depth, codes, n_bytes, 10 * n_bytes)


def contest(*candidates: Candidate, kind: ProbeKind = ProbeKind.SOFTMAX) -> LayerContest:
    return LayerContest.of(candidates, names(Y), IMAGES, kind=kind, seed=3)


def test_the_accuracy_is_of_choosing_and_layers_are_judged_by_themselves() -> None:
    layers = [candidate(1, NOISE), candidate(2, CODES[:, :5]), candidate(3, CODES)]
    found = contest(*layers)
    groups = np.unique(IMAGES, return_inverse=True)[1]
    folds = Folds.of(Y, groups, 3)
    seen = {
        one.key: judge(
            one.codes,
            Y,
            K,
            folds,
            kind=ProbeKind.SOFTMAX,
            Cs=DEFAULT_CS[ProbeKind.SOFTMAX],
            on_fold=lambda: None,
        )
        for one in layers
    }
    choice = choose(seen, folds, positions={one.key: one.depth / 3 for one in layers})
    assert found.chosen.key == choice.key
    assert found.accuracy.estimate == choice.right.mean()
    assert [one.accuracy.estimate for one in found.layers] == [
        choice.right_of[one.key].mean() for one in layers
    ]
    assert 0.3 < found.accuracy.estimate < 1.0, "or the test says nothing"
    np.testing.assert_array_equal(found.answers, choice.right.astype(float))
    assert sum(map(sum, found.confusion.counts)) == N


def test_labels_without_meaning_are_not_said_to_be_told_apart() -> None:
    """Of many layers one is lucky; the accuracy of choosing does not believe it."""
    random = np.random.default_rng(1)
    layers = [
        candidate(depth, random.normal(size=(N, 4)).astype(np.float32)) for depth in range(1, 25)
    ]
    found = contest(*layers)
    best = max(one.accuracy.estimate for one in found.layers)
    assert best > 1 / K + 0.1
    assert found.accuracy.low < 1 / K < found.accuracy.high


def test_the_cheapest_as_good_is_found_by_bytes() -> None:
    found = contest(
        candidate(1, NOISE, n_bytes=1, backbone="a third"),
        candidate(2, CODES, n_bytes=500),
        candidate(3, CODES, n_bytes=900, backbone="other"),
        candidate(0, CODES, n_bytes=400),
    )
    assert found.layers[found.cheapest].layer == "layer-0", "noise is cheaper, but worse"
    assert found.chosen.layer == "layer-2", "of equal layers the cheapest; answers must be better"


@pytest.mark.parametrize(("k", "n_rows"), [(2, 1), (3, 3)])
def test_the_probe_itself_is_counted(k: int, n_rows: int) -> None:
    codes, y = clouds(40, 10, k)
    [layer] = LayerContest.of(
        [candidate(1, codes)], names(y), IMAGES[:40], kind=ProbeKind.SVM, seed=0
    ).layers
    assert layer.dims == 10
    assert layer.n_bytes == 1000 + 4 * n_rows * 11
    assert layer.macs == 10_000 + n_rows * 10


def test_networks_are_no_neighbours() -> None:
    """A layer's chances do not change with what lies at its depth in another network."""
    alone = contest(candidate(1, NOISE), candidate(2, CODES))
    beside = contest(
        candidate(1, NOISE),
        candidate(2, CODES),
        *(candidate(depth, NOISE, backbone="other", n_bytes=10**6) for depth in (1, 2)),
    )
    assert beside.chosen.key == alone.chosen.key
    assert beside.layers[:2] == alone.layers
    assert [one.depth for one in beside.depths_of("other")] == [1, 2]


def test_the_share_done_is_told_by_what_layers_take() -> None:
    """The wider of two takes four times as long, and both are judged in five folds."""
    told: list[float] = []
    LayerContest.of(
        [candidate(1, NOISE[:, :6]), candidate(2, CODES)],
        names(Y),
        IMAGES,
        kind=ProbeKind.SVM,
        seed=0,
        on_share=told.append,
    )
    assert np.diff([0.0, *told]) == pytest.approx([0.04] * 5 + [0.16] * 5)


def test_candidates_that_say_nothing_are_refused() -> None:
    once = candidate(1, CODES)
    with pytest.raises(InputInvalid, match="2 candidates, 1 of them different"):
        contest(once, replace(once, depth=2))
    with pytest.raises(InputInvalid, match="one at least must have a depth"):
        contest(candidate(0, CODES))


def test_a_network_s_outputs_win_by_their_own_answers_alone() -> None:
    """They stand beside the last layer, and as good ones cost more than that."""
    layers = [candidate(1, NOISE), candidate(2, NOISE), candidate(3, CODES)]
    assert contest(*layers, candidate(0, CODES)).chosen.depth == 3
    outputs = candidate(0, np.column_stack([CODES, np.eye(K, dtype=np.float32)[Y]]))
    assert contest(*layers, outputs).chosen.depth == 0


def test_a_lucky_early_layer_is_not_the_cheapest_as_good() -> None:
    """Twenty layers; the fifth alone of the early ones is as right as the last: a spike."""
    layers = [candidate(depth, CODES) for depth in range(1, 21)]
    found = contest(*layers)
    n = len(found.choice.right)
    is_good = np.arange(n) < 0.9 * n
    right_of = {
        one.key: is_good if one.depth in (5, 18, 19, 20) else np.arange(n) < 0.5 * n
        for one in layers
    }
    choice = replace(found.choice, key=layers[-1].key, right_of=right_of)
    judged = replace(found, choice=choice)
    assert judged.layers[4].accuracy.estimate == judged.layers[19].accuracy.estimate
    assert judged.layers[judged.cheapest].depth in (18, 19, 20)

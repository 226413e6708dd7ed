"""The poolings tried are told with the chosen one, and why it may not have the highest figure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from icecore.cli.poolings import print_poolings
from icecore.client import (
    Accuracy,
    Pooling,
    PoolingKind,
    PoolingTrial,
    ProbeKind,
    ProbeVersion,
    TapId,
    VersionState,
)

VERSION = ProbeVersion(
    probe_id="cells",
    version=1,
    version_name="tenants/default/probes/cells/versions/1",
    state=VersionState.READY,
    kind=ProbeKind.SVM,
    collection_id="cells",
    create_time=datetime(2026, 1, 1, tzinfo=UTC),
    is_promoted=True,
    seed=0,
    tap=TapId("ab" * 32, "blocks.15", backbone="net", depth=15),
)
POOLINGS = (Pooling(), Pooling(PoolingKind.MAX), Pooling(PoolingKind.GEM, 3.0))
LUCK = "of those that do about as well as the best the first tried is taken"


def trials(estimates: Sequence[float], chosen: int) -> tuple[PoolingTrial, ...]:
    return tuple(
        PoolingTrial(pooling, Accuracy(estimate, 0.5, 1.0), 0.1, place == chosen, "none")
        for place, (pooling, estimate) in enumerate(zip(POOLINGS, estimates, strict=False))
    )


def printed(tried: tuple[PoolingTrial, ...], capture: pytest.CaptureFixture[str]) -> list[str]:
    print_poolings(replace(VERSION, pooling_trials=tried))
    return capture.readouterr().out.splitlines()


def test_each_pooling_has_a_row_and_the_chosen_one_a_mark(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start, _, *rows = printed(trials((0.912, 0.887, 0.961), 2), capsys)
    assert start == "poolings tried at blocks.15, once it was chosen:"
    assert [row.split()[:2] for row in rows] == [["avg", "91.2"], ["max", "88.7"], ["gem3", "96.1"]]
    assert [row.endswith("<- chosen") for row in rows] == [False, False, True]


def test_why_the_highest_figure_was_not_taken_is_told_where_it_was_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(trials((0.912, 0.887, 0.915), 0), capsys)[-1] == LUCK
    assert LUCK not in printed(trials((0.915, 0.887, 0.912), 0), capsys)
    assert LUCK not in printed(trials((0.915, 0.887, 0.912), 2), capsys), "an earlier one is higher"


def test_where_the_layer_is_no_map_there_was_nothing_to_choose(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(trials((0.9,), 0), capsys) == [
        "blocks.15 is no map, so that there is no pooling to choose"
    ]


def test_nothing_is_told_where_the_pooling_was_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert not printed((), capsys)

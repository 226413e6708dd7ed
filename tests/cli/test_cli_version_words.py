"""What is said of a version beside the one that was promoted before it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from icecore.cli.version_words import done_to_codes, fallen_out, going_over, joined_or_not, reads
from icecore.client import (
    Accuracy,
    Difference,
    JoinedGain,
    LayerTrial,
    ProbeKind,
    ProbeVersion,
    TapId,
    VersionState,
)
from icecore.probes.preprocessing import Preprocessing

FIRST = ProbeVersion(
    probe_id="cells",
    version=1,
    version_name="tenants/default/probes/cells/versions/1",
    state=VersionState.READY,
    kind=ProbeKind.SVM,
    collection_id="cells",
    create_time=datetime(2026, 1, 1, tzinfo=UTC),
    is_promoted=True,
    seed=0,
    classes=("ant", "bee"),
)


def second(*classes: str) -> ProbeVersion:
    return replace(FIRST, version=2, classes=classes)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("ant", "bee", "wasp"), "+wasp"),
        (("ant", "wasp"), "+wasp, -bee"),
        (("ant",), "-bee"),
        (tuple("abcdefg"), "+a, +b, +c, +d, +e, +2 more, -ant, -bee"),
        (("ant", "bee", "a\nwasp"), "+a wasp"),
    ],
)
def test_classes_that_changed_are_named(classes: tuple[str, ...], said: str) -> None:
    *_, line = going_over(FIRST, second(*classes), is_guarded=False)
    assert line == f"classes changed since version 1: {said}"


def test_who_is_replaced_is_told_with_the_way_back() -> None:
    known = replace(FIRST, accuracy=Accuracy(0.918, 0.84, 0.96))
    assert going_over(known, second("ant", "bee"), is_guarded=True) == [
        "'icecore predict' uses it now, in place of version 1 (91.8 %); back with "
        "'icecore probes promote cells 1'"
    ]


def test_nothing_is_said_where_nothing_changed() -> None:
    unused = replace(second("ant", "bee"), is_promoted=False)
    assert not going_over(FIRST, unused, is_guarded=True)
    assert not going_over(None, FIRST, is_guarded=False)
    assert not going_over(FIRST, FIRST, is_guarded=False)


def test_a_first_version_was_compared_with_nothing() -> None:
    [line] = going_over(None, FIRST, is_guarded=True)
    assert line.startswith("promoted without a comparison: no version was promoted before")
    assert not going_over(None, replace(FIRST, is_promoted=False), is_guarded=True)


@pytest.mark.parametrize(
    ("low", "estimate", "high", "end"),
    [
        (0.004, 0.031, 0.058, "+0.4 to +5.8): it helps"),
        (-0.03, 0.027, 0.093, "-3.0 to +9.3): whether it helps is open; --layer auto needs one"),
        (-0.06, -0.03, -0.001, "-6.0 to -0.1): it hurts; use --layer auto"),
    ],
)
def test_a_gain_of_joined_layers_is_told_by_its_interval(
    low: float, estimate: float, high: float, end: str
) -> None:
    gain = JoinedGain(Accuracy(0.918, 0.84, 0.96), Difference(estimate, low, high))
    said = joined_or_not(gain)
    assert said.startswith(
        f"together {100 * estimate:+.1f} points over one layer, which has 91.8 %"
    )
    assert "which has 91.8 %" in said
    assert end in said


def test_joined_layers_are_told_by_depth() -> None:
    taps = tuple(
        TapId("ab" * 32, layer, backbone="net", depth=depth)
        for layer, depth in (("one", 1), ("nine", 9), ("logits", 0))
    )
    version = replace(FIRST, joined_taps=taps)
    assert reads(version) == "3 layers together of net@abababab: 1, 9, logits"
    assert reads(replace(FIRST, tap=taps[0])) == "net@abababab/1:one/avg"


def judged(*layers: str, of: int | None) -> ProbeVersion:
    seen = Accuracy(0.9, 0.8, 1.0)
    trials = tuple(LayerTrial(layer, None, seen, 1.0, is_chosen=False) for layer in layers)
    return replace(FIRST, trials=trials, n_layers=of)


def test_layers_that_fell_out_are_counted() -> None:
    found = judged("one", "two", "logits", "logits", of=33)
    assert fallen_out(found) == (
        "3 of 33 layers were judged in full; the others fell out by a cheaper score"
    )
    taps = tuple(TapId("ab" * 32, layer) for layer in ("one", "nine"))
    assert fallen_out(replace(found, joined_taps=taps)) == (
        "3 of 33 layers were judged in full by themselves; the others fell out by a cheaper score, "
        "but could be joined"
    )


def test_nothing_is_said_to_have_fallen_out_where_nothing_did_or_it_is_not_known() -> None:
    assert not fallen_out(judged("one", "two", "logits", "logits", of=3))
    assert not fallen_out(judged("one", "two", of=None)), "a version of before"
    assert not fallen_out(judged(of=None)), "a choice that was kept"


def test_whatever_is_done_to_codes_has_words() -> None:
    said = {one.value: done_to_codes(one.value) for one in Preprocessing}
    assert said.pop("none") == done_to_codes("") == ""
    assert all(said.values())
    assert len(set(said.values())) == len(said)

"""What is said of a version beside the one that was promoted before it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from icecore.cli.version_words import going_over
from icecore.client import ProbeKind, ProbeVersion, VersionState

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
    assert going_over(FIRST, second(*classes), is_guarded=False) == [
        f"classes changed since version 1: {said}"
    ]


def test_nothing_is_said_where_nothing_changed() -> None:
    assert not going_over(FIRST, second("ant", "bee"), is_guarded=True)
    assert not going_over(None, FIRST, is_guarded=False)
    assert not going_over(FIRST, FIRST, is_guarded=False)


def test_a_first_version_was_compared_with_nothing() -> None:
    [line] = going_over(None, FIRST, is_guarded=True)
    assert line.startswith("promoted without a comparison: no version was promoted before")
    assert not going_over(None, replace(FIRST, is_promoted=False), is_guarded=True)

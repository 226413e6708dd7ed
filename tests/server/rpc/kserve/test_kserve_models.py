"""Names and versions of models."""

from types import SimpleNamespace
from typing import Any

import pytest

from icecore.server.errors import NameInvalid, VersionNotFound
from icecore.server.rpc.kserve.models import Listed, Models, probe_of, probe_version
from toys import toy_backbone


def _models(*backbones: str, **promoted: int) -> Models:
    probes = [SimpleNamespace(probe_id=id_, promoted_version=n) for id_, n in promoted.items()]

    def page(*, after: str, limit: int) -> list[Any]:
        return [one for one in probes if one.probe_id > after][:limit]

    tenant = SimpleNamespace(probes=page)
    store: Any = SimpleNamespace(tenant=lambda _: tenant)
    catalog: Any = SimpleNamespace(backbones=lambda: [toy_backbone(name=one) for one in backbones])
    return Models(store, catalog)


def test_backbones_and_promoted_probes_are_listed_and_nothing_twice() -> None:
    """The prefix is the probes': whoever names a backbone so takes no tenant's place."""
    models = _models("toy", "probe.a", "probe", "prober", a=3, b=0, c=1)
    assert models.listed("t") == [
        Listed("toy", 1),
        Listed("probe", 1),
        Listed("prober", 1),
        Listed("probe.a", 3),
        Listed("probe.c", 1),
    ]


def test_more_probes_than_a_page_are_listed() -> None:
    probes = {f"p{number:05}": 1 for number in range(2500)}
    assert [one.name for one in _models(**probes).listed("t")] == [f"probe.{one}" for one in probes]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("toy", None),
        ("probe", None),
        ("Probe.x", None),
        ("probe.x", "x"),
        ("probe.probe.x", "probe.x"),
    ],
)
def test_what_follows_the_prefix_is_a_probe(name: str, expected: str | None) -> None:
    assert probe_of(name) == expected


@pytest.mark.parametrize(
    "name", ["probe.", "probe./", "probe.a b", "probe..", "probe." + "x" * 200]
)
def test_what_cannot_be_a_probe_is_told(name: str) -> None:
    with pytest.raises(NameInvalid, match="the probe's id"):
        probe_of(name)


def test_versions_of_probes_are_numbers() -> None:
    assert (probe_version("probe.p", ""), probe_version("probe.p", "12")) == (0, 12)
    for version in ("0", "-1", "1.0", "x", " 1", "\u0661", "9" * 10):
        with pytest.raises(VersionNotFound, match=r"is not of model 'probe\.p'"):
            probe_version("probe.p", version)

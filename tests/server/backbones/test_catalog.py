"""The catalog on a real store: what is made once, found by name, and checked when read."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.lite0.legacy_archive import ArchiveInvalid
from icecore.server.errors import BackboneNotFound, Internal, StorageCorrupt
from icecore.server.storage.folder import DataFolder
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import Store
from icecore.server.storage.records import BackboneRecord
from toys import toy_backbone


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_sqlite(tmp_path / "data")
    yield opened
    opened.close()


def put(store: Store, backbone: Backbone) -> None:
    record = BackboneRecord(
        name=backbone.name,
        digest=backbone.digest,
        recipe=backbone.recipe.to_json(),
        card=backbone.card.to_json(),
        create_time=backbone.create_time,
    )
    store.put_backbone(record, backbone.graph)


def test_the_default_is_built_once_and_found_again(
    store: Store, lite0: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = Catalog(store).ensure_default()
    assert built.name == "efficientnet-lite0"
    assert built.is_default
    assert built.digest == lite0.digest

    def never() -> None:
        raise AssertionError("it was built a second time")

    monkeypatch.setattr(efficientnet_lite0, "read_weights", never)
    again = Catalog(store).ensure_default()
    assert again.digest == built.digest
    assert again.create_time == built.create_time
    assert again.layers == built.layers
    assert again.recipe == efficientnet_lite0.RECIPE
    assert again.card == efficientnet_lite0.CARD


def test_a_graph_built_beforehand_is_the_same_backbone(
    store: Store, lite0: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So an image that carries the graph needs no weights, and its codes stay the same codes."""
    path = tmp_path / "lite0.onnx"
    path.write_bytes(lite0.graph)

    def never() -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr(efficientnet_lite0, "read_weights", never)
    assert Catalog(store, default_graph=path).ensure_default().digest == lite0.digest


def test_a_graph_that_is_missing_is_said(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Internal, match="cannot be built"):
        Catalog(store, default_graph=tmp_path / "absent.onnx").ensure_default()


def test_no_name_is_the_default(store: Store) -> None:
    for seed, name in enumerate(("first", "second")):
        put(store, toy_backbone(seed, name=name))
    catalog = Catalog(store, default="second")
    assert catalog.ensure_default().name == "second"
    assert catalog.get() is catalog.get("second")
    assert [(one.name, one.is_default) for one in catalog.backbones()] == [
        ("first", False),
        ("second", True),
    ]


def test_a_backbone_is_read_once(store: Store) -> None:
    put(store, toy_backbone())
    catalog = Catalog(store, default="toy")
    assert catalog.get("toy") is catalog.by_digest(toy_backbone().digest)


def test_a_name_that_moved_leaves_its_old_digest_reachable(store: Store) -> None:
    """Probes and collections pin digests, not names."""
    old, new = toy_backbone(0), toy_backbone(1)
    put(store, old)
    catalog = Catalog(store, default="toy")
    assert catalog.get().digest == old.digest
    put(store, new)
    catalog.refresh()
    assert catalog.get().digest == new.digest
    assert catalog.by_digest(old.digest).graph == old.graph


def test_a_backbone_stored_later_is_found(store: Store) -> None:
    catalog = Catalog(store, default="toy")
    assert catalog.backbones() == []
    put(store, toy_backbone(name="later"))
    assert catalog.get("later").name == "later"


def test_an_unknown_name_offers_the_near_ones(store: Store) -> None:
    catalog = Catalog(store, default="toy")
    with pytest.raises(BackboneNotFound, match="there is none at all"):
        catalog.get("tay")
    put(store, toy_backbone())
    with pytest.raises(BackboneNotFound, match="'tay' is not on this server: there is 'toy'"):
        catalog.get("tay")
    with pytest.raises(BackboneNotFound):
        catalog.by_digest("0" * 64)


def test_what_does_not_have_its_digest_is_refused(store: Store) -> None:
    toy = toy_backbone()
    put(store, replace(toy, digest="1" * 64))
    with pytest.raises(StorageCorrupt, match=f"digest {'1' * 64}, but what is there has"):
        Catalog(store).by_digest("1" * 64)


def test_bits_that_rot_on_disk_are_noticed(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "data")
    toy = toy_backbone()
    put(store, toy)
    store.close()
    database = DataFolder(tmp_path / "data").database
    data = bytearray(database.read_bytes())
    place = data.find(toy.graph[:200])
    assert place > 0
    data[place + 150] ^= 1
    database.write_bytes(data)
    with sqlite3.connect(database) as check:
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()
    store = open_sqlite(tmp_path / "data")
    with pytest.raises(StorageCorrupt):
        Catalog(store).by_digest(toy.digest)
    store.close()


def test_weights_that_are_not_there_are_the_servers_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise ArchiveInvalid("the package is not installed")

    monkeypatch.setattr(efficientnet_lite0, "read_weights", absent)
    with pytest.raises(Internal, match="'efficientnet-lite0' cannot be built: the package"):
        Catalog(store).ensure_default()
    assert list(store.backbones()) == []

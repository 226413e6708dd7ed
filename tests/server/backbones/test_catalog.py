"""The catalog on a real store: what is made once, found by name, and checked when read."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icecore.server.backbones.as_stored import to_record
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.card import Card
from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.facts import Facts
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.lite0.legacy_archive import ArchiveInvalid
from icecore.server.errors import BackboneInUse, BackboneNotFound, Internal, StorageCorrupt
from icecore.server.storage.folder import DataFolder
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import Store
from icecore.server.storage.records import Mutation
from toys import toy_backbone, toy_graph, toy_recipe


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_sqlite(tmp_path / "data")
    yield opened
    opened.close()


def put(store: Store, backbone: Backbone) -> None:
    store.put_backbone(to_record(backbone), backbone.graph)


def pin(store: Store, digest: str, collection_id: str = "c") -> None:
    store.tenant("default").create_collection(
        collection_id, backbone="toy", digest=digest, keep_images=True
    )


def add(catalog: Catalog, seed: int = 0, *, name: str = "toy", **fields: Any) -> Backbone:
    card = fields.pop("card", Card(source="toys.py"))
    facts = fields.pop("facts", Facts(added_by="administrator k"))
    return catalog.add(name, toy_graph(seed), toy_recipe(), card, facts, **fields)


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
    catalog = Catalog(store, default="toy")
    old = add(catalog)
    pin(store, old.digest)
    new = add(catalog, 1)
    assert catalog.get() == catalog.by_digest(new.digest)
    assert catalog.get().graph == toy_graph(1)
    found = catalog.by_digest(old.digest)
    assert found.graph == toy_graph(0)
    assert found.layers == old.layers
    assert (catalog.get().is_default, found.is_default) == (True, False)
    assert Catalog(store).by_digest(old.digest).graph == toy_graph(0)


def test_what_was_added_is_as_it_is_read_again(store: Store) -> None:
    facts = Facts(
        added_by="administrator k", file_sha256="12" * 32, recipe_source="assumed", changes=("one",)
    )
    card = Card(licence="MIT", accuracy="75 %")
    for catalog in (Catalog(store), Catalog(store)):
        if not catalog.backbones():
            add(catalog, name="new", card=card, facts=facts)
        found = catalog.get("new")
        assert (found.card, found.facts, found.recipe) == (card, facts, toy_recipe())
        assert (found.precision, found.graph_bytes) == ("float32", len(toy_graph()))
        assert found.layers == toy_backbone().layers
        assert found.digest == toy_backbone().digest


def test_one_digest_has_the_name_it_is_asked_for_under(store: Store) -> None:
    catalog = Catalog(store, default="b")
    add(catalog, name="a")
    digest = add(catalog, name="b").digest
    assert [(one.name, one.is_default) for one in catalog.backbones()] == [
        ("a", False),
        ("b", True),
    ]
    assert catalog.get() is catalog.get("b")
    assert catalog.by_digest(digest).name == "a"
    catalog.remove("a")
    assert catalog.by_digest(digest).name == "b", "the name that it has now"
    assert catalog.get("b").core == toy_backbone().core


def test_adding_the_same_again_mends_its_card_and_nothing_else(store: Store) -> None:
    catalog = Catalog(store)
    first = add(catalog, facts=Facts(added_by="one"))
    again = add(catalog, card=Card(licence="MIT"), facts=Facts(added_by="two"))
    for found in (again, catalog.get("toy"), Catalog(store).get("toy")):
        assert found.card == Card(licence="MIT")
        assert (found.facts.added_by, found.create_time) == ("one", first.create_time)


def test_adding_is_done_once(store: Store) -> None:
    catalog = Catalog(store)
    once = Mutation("r", "Add", "0" * 64)
    assert catalog.added_before(once) is None
    first = add(catalog, mutation=once)
    pin(store, first.digest)
    add(catalog, card=Card(licence="MIT"))
    add(catalog, 1)
    for again in (add(catalog, mutation=once), catalog.added_before(once)):
        assert again is not None
        assert (again.digest, again.card, again.name) == (first.digest, first.card, "toy")
    assert catalog.get("toy").graph == toy_graph(1), "a retry moved the name back"


def test_a_removed_backbone_is_not_found_and_others_are_offered(store: Store) -> None:
    catalog = Catalog(store, default="other")
    digest = add(catalog).digest
    add(catalog, 1, name="other")
    assert catalog.get("toy").digest == digest
    catalog.remove("toy")
    for call in (catalog.get, catalog.remove):
        with pytest.raises(BackboneNotFound, match="'toy' is not on this server: there is 'other'"):
            call("toy")
    with pytest.raises(BackboneNotFound):
        catalog.by_digest(digest)


def test_a_pinned_backbone_is_not_removed(store: Store) -> None:
    catalog = Catalog(store)
    pin(store, add(catalog).digest)
    with pytest.raises(BackboneInUse, match="pinned by 1 collection of tenant 'default'"):
        catalog.remove("toy")
    assert catalog.get("toy").graph == toy_graph()


def test_the_default_is_replaced_but_not_removed_and_does_not_come_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(store)
    new = add(catalog, name=efficientnet_lite0.NAME)

    def never() -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr(efficientnet_lite0, "read_weights", never)
    for opened in (catalog, Catalog(store)):
        assert opened.ensure_default().digest == new.digest
        assert opened.get().is_default
        with pytest.raises(BackboneInUse, match="is the default"):
            opened.remove(efficientnet_lite0.NAME)


def test_what_is_gone_is_forgotten_and_told(store: Store) -> None:
    """So a hundred that come and go leave nothing in memory."""
    told: list[str] = []
    catalog = Catalog(store, default="stays")
    catalog.when_gone(told.append)
    add(catalog, 99, name="stays")
    digests = []
    for seed in range(6):
        digests.append(add(catalog, seed).digest)  # each replaces the one before
        assert catalog.by_digest(digests[-1]).layers
    assert told == digests[:-1]
    catalog.remove("toy")
    assert told == digests
    pinned = add(catalog, 7)
    pin(store, pinned.digest)
    add(catalog, 8)
    assert catalog.by_digest(pinned.digest).name == "toy"
    assert pinned.digest not in told
    store.tenant("default").delete_collection("c")
    catalog.refresh()
    assert told[-1] == pinned.digest


def test_a_graph_is_not_held_in_memory(store: Store) -> None:
    catalog = Catalog(store)
    add(catalog, name="big")
    found = catalog.get("big")
    assert found.graph == toy_graph()
    assert found.graph is not found.graph, "it is read when it is asked for"
    catalog.remove("big")
    with pytest.raises(BackboneNotFound):
        _ = found.graph


def test_many_who_ask_at_once_read_it_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, toy_backbone())
    n_read = 0
    really = store.backbone_graph

    def counted(digest: str) -> bytes:
        nonlocal n_read
        n_read += 1
        return really(digest)

    monkeypatch.setattr(store, "backbone_graph", counted)
    catalog = Catalog(store)
    with ThreadPoolExecutor(8) as threads:
        assert len({id(one) for one in threads.map(catalog.get, ["toy"] * 50)}) == 1
    assert n_read == 1


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
    for place, name in enumerate("abcd"):
        put(store, toy_backbone(seed=place + 1, name=name))
    with pytest.raises(BackboneNotFound, match=r"there is 'a', 'b', 'c' and 2 more$"):
        catalog.get("nothing-near")


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

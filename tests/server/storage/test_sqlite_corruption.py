"""Damaged bytes are noticed, never given out."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from icecore.server import errors
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import Store, TenantStore
from storing import DIGEST, add, make_collection, put_backbone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three examples in two batches, and a probe."""
    store = open_sqlite(tmp_path)
    put_backbone(store)
    tenant = make_collection(store.tenant("default"))
    add(tenant, ["a", "b"])
    add(tenant, ["c"])
    version = tenant.start_training("p", kind="svm", collection_id="ants", request={})
    tenant.finish_training(
        "p",
        1,
        create_time=version.create_time,
        result={},
        file=b"probe file",
        seconds=1.0,
        promote=True,
    )
    store.close()
    return tmp_path


def damage(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "icecore.db") as raw:
        raw.create_function("flipped", 1, lambda blob: bytes([blob[0] ^ 1]) + blob[1:])
        for statement in statements:
            assert raw.execute(statement).rowcount > 0, "nothing was damaged"
    raw.close()


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE codes SET blob = flipped(blob) WHERE layer_pk = 1 AND batch_pk = 1"],
        ["UPDATE codes SET blob = substr(blob, 2) WHERE layer_pk = 1 AND batch_pk = 1"],
        ["UPDATE codes SET dtype = 'float32' WHERE layer_pk = 1 AND batch_pk = 1"],
        ["UPDATE codes SET dtype = 'int8' WHERE layer_pk = 1 AND batch_pk = 1"],
        ["DELETE FROM codes WHERE layer_pk = 1 AND batch_pk = 2"],
        # Whole blobs that are valid by themselves, of another batch or layer.
        ["UPDATE codes SET layer_pk = 5 - layer_pk + 1000 WHERE layer_pk IN (2, 3)",
         "UPDATE codes SET layer_pk = layer_pk - 1000 WHERE layer_pk > 1000"],
        ["UPDATE batches SET n_live = n_live + 1"], ["UPDATE batches SET n_rows = n_rows + 1"],
        ["UPDATE batches SET sequence = sequence - 1"],
        ["UPDATE examples SET place = 1 - place WHERE batch_pk = 1 AND example_id = 'a'"],
        ["DELETE FROM examples WHERE example_id = 'a'"],
    ],
)  # fmt: skip
def test_damaged_codes_are_refused(folder: Path, statements: list[str]) -> None:
    damage(folder, *statements)
    store = open_sqlite(folder)
    with pytest.raises(errors.StorageCorrupt):
        store.tenant("default").snapshot("ants", ["one", "two", "three"])
    assert store.tenant("default").snapshot("ants").examples, "what is whole is still given"
    store.close()


def test_damage_in_one_layer_leaves_the_others_readable(folder: Path) -> None:
    """And shows that reading one layer reads no other."""
    damage(folder, "UPDATE codes SET blob = flipped(blob) WHERE layer_pk = 1")
    store = open_sqlite(folder)
    assert store.tenant("default").snapshot("ants", ["two", "three"]).codes["two"].shape == (3, 6)
    store.close()


def test_damaged_codes_are_never_packed_into_sound_ones(folder: Path) -> None:
    damage(folder, "UPDATE codes SET blob = flipped(blob) WHERE layer_pk = 1 AND batch_pk = 1")
    store = open_sqlite(folder)
    tenant = store.tenant("default")
    with pytest.raises(errors.StorageCorrupt):
        tenant.delete_examples("ants", ["a"])
    assert tenant.collection("ants").n_examples == 3
    tenant.delete_collection("ants")
    store.close()


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("UPDATE images SET image = flipped(image)", lambda _, tenant: tenant.image("ants", "a")),
        (
            "UPDATE probe_files SET file = flipped(file)",
            lambda _, tenant: tenant.probe_file("p", 1),
        ),
        (
            "UPDATE backbone_parts SET part = flipped(part)",
            lambda store, _: store.backbone_graph(DIGEST),
        ),
        ("DELETE FROM backbone_parts", lambda store, _: store.backbone_graph(DIGEST)),
    ],
    ids=["image", "probe file", "graph", "a graph's part"],
)
def test_a_damaged_file_is_refused(
    folder: Path, statement: str, read: Callable[[Store, TenantStore], bytes]
) -> None:
    damage(folder, statement)
    store = open_sqlite(folder)
    with pytest.raises(errors.StorageCorrupt):
        read(store, store.tenant("default"))
    store.close()


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "icecore.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(errors.StorageCorrupt):
        open_sqlite(tmp_path)
    assert (tmp_path / "icecore.db").read_bytes() == b"not a database" * 1000

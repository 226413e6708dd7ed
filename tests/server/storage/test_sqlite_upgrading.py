"""What an older icecore wrote is found again, whole, by this one."""

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from icecore.server import errors
from icecore.server.storage import upgrading
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.sqlite.connections import open_writer
from storing import graph_of

FIRST, SECOND, UNUSED = "ab" * 32, "cd" * 32, "ef" * 32
LARGE = bytes(range(256)) * 40_000
"""10 MB, in three parts."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the first icecore left it.

    Its backbone `moved` points to the second digest. The first is pinned by the collection `c`
    and by a version in training on it; by one that is ready, whose collection is deleted, alone
    the second. Nothing holds the third.
    """
    connection = open_writer(tmp_path / "icecore.db")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    config = Config()
    config.set_main_option("script_location", str(upgrading._MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")
    connection.exec_driver_sql("COMMIT")
    connection.close()
    with sqlite3.connect(tmp_path / "icecore.db") as raw:
        graphs = {FIRST: LARGE, SECOND: graph_of(SECOND), UNUSED: b"unused"}
        for number, (digest, graph) in enumerate(graphs.items(), 1):
            raw.execute(
                "INSERT INTO backbones VALUES (?, ?, 'moved', '{\"height\": 8}', '{}', 5)",
                (number, digest),
            )
            sha256 = hashlib.sha256(graph).hexdigest()
            raw.execute("INSERT INTO backbone_graphs VALUES (?, ?, ?)", (number, sha256, graph))
        raw.execute("INSERT INTO backbone_names VALUES ('moved', 2)")
        raw.execute("INSERT INTO tenants VALUES (1, 'default', 1)")
        raw.execute("INSERT INTO collections VALUES (1, 1, 'c', 'moved', ?, 1, 1, 1)", (FIRST,))
        raw.execute("INSERT INTO probes VALUES (1, 1, 'p', 0, 3, 1)")
        tap = json.dumps({"digest": SECOND, "layer": "x"})
        versions = [
            (1, "training", "c", None),
            (2, "ready", "gone", json.dumps({"tap": tap})),
            (3, "failed", "gone", None),
        ]
        for version, state, collection_id, result in versions:
            raw.execute(
                "INSERT INTO versions VALUES (?, 1, ?, ?, 'svm', ?, '{}', ?, '', '', '', 0.0, 1)",
                (version, version, state, collection_id, result),
            )
    raw.close()
    return tmp_path


def test_backbones_and_their_pins_are_those_of_the_first_icecore(folder: Path) -> None:
    store = open_sqlite(folder)
    assert [(one.name, one.digest) for one in store.backbones()] == [("moved", SECOND)]
    assert store.backbone(FIRST).facts == {}
    assert store.backbone_graph(FIRST) == LARGE
    assert store.backbone_graph(SECOND) == graph_of(SECOND)
    versions = store.tenant("default").probe("p").versions
    assert {one.version: one.digest for one in versions} == {1: FIRST, 2: SECOND, 3: ""}
    with pytest.raises(errors.BackboneInUse, match="pinned by 1 probe version of tenant"):
        store.remove_backbone("moved")
    store.tenant("default").delete_version("p", 2)
    store.remove_backbone("moved")
    store.close()


def test_what_nothing_holds_is_deleted(folder: Path) -> None:
    store = open_sqlite(folder)
    assert store.backbone_digests() == [FIRST, SECOND]
    store.close()
    assert b"unused" not in (folder / "icecore.db").read_bytes()


def test_an_upgrade_that_is_killed_can_be_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("icecore.server.storage.rows.pins.let_unneeded_go", killed)
    with pytest.raises(KeyboardInterrupt):
        open_sqlite(folder)
    monkeypatch.undo()
    with sqlite3.connect(folder / "icecore.db") as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    raw.close()
    store = open_sqlite(folder)
    assert store.backbone_graph(FIRST) == LARGE
    store.close()

"""What an older icecore wrote is found again, whole, by this one."""

import hashlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from counted import bytes_of
from icecore.server import errors
from icecore.server.quotas import NO_LIMITS
from icecore.server.storage import upgrading
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.sqlite.connections import open_writer
from storing import add, graph_of, make_collection, put_backbone

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


def test_what_was_there_before_quotas_is_counted(tmp_path: Path) -> None:
    """Data of today with the columns of revision 0003 taken out is data of revision 0002."""
    store = open_sqlite(tmp_path)
    put_backbone(store)
    store.create_tenant("other")
    store.create_tenant("empty")
    for tenant_id, n in (("default", 20), ("other", 3)):
        tenant = make_collection(store.tenant(tenant_id))
        make_collection(tenant, "no images", keep_images=False)
        add(tenant, [f"ä {at}" for at in range(n)], label="käfer")
        tenant.delete_examples("ants", ["ä 1"])
        version = tenant.start_training("p", kind="svm", collection_id="ants", request={"ö": 1})
        tenant.finish_training(
            "p",
            1,
            create_time=version.create_time,
            result={"ü": 2},
            file=bytes(1000),
            seconds=1.0,
            promote=True,
        )
        tenant.start_training("p", kind="svm", collection_id="ants", request={})
    names = ("default", "other", "empty")
    counted = {name: store.tenant(name).stored() for name in names}
    store.close()
    with sqlite3.connect(tmp_path / "icecore.db") as raw:
        for statement in (
            "ALTER TABLE tenants DROP COLUMN stored_bytes",
            "ALTER TABLE collections DROP COLUMN stored_bytes",
            "DROP TABLE quotas",
            "DROP TABLE held_out_answers",
            "ALTER TABLE collections DROP COLUMN has_outputs",
            "UPDATE alembic_version SET version_num = '0002'",
        ):
            raw.execute(statement)
    raw.close()
    store = open_sqlite(tmp_path)
    assert {name: store.tenant(name).stored() for name in names} == counted
    for name in names:
        assert store.tenant(name).stored().n_bytes == bytes_of(tmp_path, name)
        assert store.quota(name) == NO_LIMITS
    store.tenant("other").delete_collection("ants")
    assert store.tenant("other").stored().n_bytes == bytes_of(tmp_path, "other")
    store.close()


def test_collections_of_before_have_no_outputs_in_their_core(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path)
    put_backbone(store)
    make_collection(store.tenant("default"), "old")
    store.close()
    with sqlite3.connect(tmp_path / "icecore.db") as raw:
        raw.execute("ALTER TABLE collections DROP COLUMN has_outputs")
        raw.execute("UPDATE alembic_version SET version_num = '0004'")
    raw.close()
    store = open_sqlite(tmp_path)
    tenant = make_collection(store.tenant("default"), "new")
    assert not tenant.collection("old").has_outputs
    assert tenant.collection("new").has_outputs
    assert [one.has_outputs for one in tenant.collections()] == [True, False]
    store.close()


def test_the_newest_migration_is_known_without_alembic() -> None:
    config = Config()
    config.set_main_option("script_location", str(upgrading._MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [upgrading.HEAD]


def test_a_start_without_migrations_imports_no_alembic_nor_scipy(tmp_path: Path) -> None:
    """A third of a second that every start would wait."""
    open_sqlite(tmp_path / "data").close()
    program = f"""
import sys
from pathlib import Path
import icecore.server.app
from icecore.server.storage.opening import open_sqlite
open_sqlite(Path({str(tmp_path / "data")!r})).close()
print(*(name for name in ("alembic", "scipy", "sklearn") if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []

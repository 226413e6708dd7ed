"""Open the store of a data folder."""

from pathlib import Path

from sqlalchemy import Connection

from icecore.server.storage import upgrading
from icecore.server.storage.change import Change
from icecore.server.storage.folder import DataFolder
from icecore.server.storage.rows import backbones, mutations, pins, tenants
from icecore.server.storage.sqlite import burying, connections, upkeep
from icecore.server.storage.sqlite.store import SqliteStore
from icecore.server.storage.sqlite.writer import Writer


def open_sqlite(folder: Path | DataFolder) -> SqliteStore:
    """Return the store of a folder, made or brought to this icecore's schema where needed.

    The folder is locked while the store is open; one that the caller has locked
    already stays locked after.

    Raises:
        FolderInUse: another server has the folder.
        StorageTooNew: a newer icecore wrote it; nothing was changed.
        StorageFull, StorageCorrupt: it cannot be opened.
    """
    if isinstance(folder, Path):
        folder = DataFolder(folder)
    to_unlock = None if folder.is_locked else folder
    folder.lock()
    try:
        with connections.told():
            connection = connections.open_writer(folder.database)
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                upgrading.upgrade(connection)
                change = Change(connection)
                tenants.ensure_default(change)
                mutations.forget_old(change)
                backbones.let_go_if_coming(change)
                pins.let_unneeded_go(change)
                connection.exec_driver_sql("COMMIT")
                _dig_all(connection)
                # What a killed server deleted may be in the log still.
                upkeep.truncate_log(connection, wait=True)
            except BaseException:
                connection.close()
                raise
        return SqliteStore(
            connections.Readers(folder.database), Writer(connection), to_unlock=to_unlock
        )
    except BaseException:
        if to_unlock is not None:
            to_unlock.unlock()
        raise


def _dig_all(connection: Connection) -> None:
    """Overwrite what a killed server had not come to, a little at a time."""
    is_more = True
    while is_more:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        is_more = burying.dig(Change(connection))
        connection.exec_driver_sql("COMMIT")

"""What the writing connection does between transactions: overwrite the deleted, give space back.

`secure_delete` overwrites a deleted row, but leaves two kinds of copies. The
log holds older pages: it is emptied. And when SQLite spreads the rows of a full
page over two, it leaves copies in the unused part of the first (about one
deleted example in a thousand is in one; only what is shorter than a page, such as ids and
labels, never a code or image of usual size). VACUUM alone removes those; it
costs 9 ms a megabyte, so it is done where the database is small. It is a transaction
like others: killed in the middle of it, the file is as before.
"""

import logging
import sqlite3
from typing import cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

WAIT_MS = 10_000
"""How long emptying the log waits for readers to end, while nobody writes. They take
milliseconds; those who read the codes of 50,000 examples, 0.6 s a layer."""

MAX_VACUUM_BYTES = 32 * 1024 * 1024
"""Written anew whole after a deletion: 0.3 s."""

_SLICE_PAGES = 2000
_KEPT_FREE = 4
"""A quarter of the pages may be free: they are used again, and moving others costs time."""

_log = logging.getLogger(__name__)


def erase(connection: Connection, *, wait: bool) -> bool:
    """Overwrite what is left of deleted rows; whether that was done (else: try again)."""
    if not truncate_log(connection, wait=wait):
        return False
    n_used = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    if n_used * _pragma(connection, "page_size") > MAX_VACUUM_BYTES:
        return True
    try:
        connection.exec_driver_sql("VACUUM")
    except DBAPIError as error:
        _log.warning("the database was not vacuumed: %s", error.orig)
        return False
    return truncate_log(connection, wait=wait)


def truncate_log(connection: Connection, *, wait: bool) -> bool:
    """Move the log into the database and cut it to nothing; whether that was done.

    It is not done while a reader still reads from the log, or where the disk is
    full: the log then stays as it is, nothing is lost, and it can be tried again.
    """
    try:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {WAIT_MS if wait else 0}")
        is_busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {WAIT_MS}")
    except DBAPIError as error:
        _log.warning("the log was not moved into the database: %s", error.orig)
        return False
    return not is_busy


def release_pages(connection: Connection) -> bool:
    """Give some free pages back to the disk where many are free; whether there are more."""
    n_free = _pragma(connection, "freelist_count")
    if n_free < _SLICE_PAGES or n_free * _KEPT_FREE < _pragma(connection, "page_count"):
        return False
    try:
        # A script, because this pragma frees a page a step, and others take one step only.
        raw_of(connection).executescript(f"PRAGMA incremental_vacuum({_SLICE_PAGES})")
    except sqlite3.Error as error:
        _log.warning("no space was given back to the disk: %s", error)
        return False
    return True


def raw_of(connection: Connection) -> sqlite3.Connection:
    """Return SQLite's own connection."""
    return cast(sqlite3.Connection, connection.connection.dbapi_connection)


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

"""What the writing connection does between transactions: it empties the log."""

import logging

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

WAIT_MS = 10_000
"""How long emptying the log waits for readers to end; they take milliseconds."""

_log = logging.getLogger(__name__)


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

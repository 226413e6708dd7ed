"""What a fault of the database tells the log: never what a tenant sent."""

import sqlite3
import traceback
from pathlib import Path

import pytest

from icecore.server.storage.folder import DataFolder
from icecore.server.storage.opening import open_sqlite

PRIVATE = "-".join(["of", "a", "tenant"])
"""In pieces: a traceback also shows lines of this file."""


@pytest.mark.parametrize("does", ["reads", "writes"])
def test_the_traceback_of_a_fault_has_no_values_of_the_statement(does: str, tmp_path: Path) -> None:
    """Labels and metadata are values of statements, and tracebacks of faults are logged."""
    with DataFolder(tmp_path / "data") as folder:
        store = open_sqlite(folder)
        try:
            tenant = store.tenant("default")
            raw = sqlite3.connect(folder.database)
            raw.executescript("PRAGMA foreign_keys = OFF; DROP TABLE probes;")
            raw.close()
            act = tenant.probe if does == "reads" else tenant.delete_probe
            with pytest.raises(Exception, match="no such table") as caught:
                act(PRIVATE)
        finally:
            store.close()
    assert PRIVATE not in "".join(traceback.format_exception(caught.value))

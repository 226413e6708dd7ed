"""Bring a database to the schema of this icecore; refuse one from a newer icecore."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from icecore.server.errors import StorageTooNew

HEAD: Final = "0005"
"""The newest migration. Alembic knows it too, but takes 0.1 s to import; a start that finds
the database as it is to be does without."""

_MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(connection: Connection) -> None:
    """Run the migrations that the database lacks, in the caller's transaction.

    Raises:
        StorageTooNew: the database has a migration that this icecore does not know.
    """
    if _version(connection) != HEAD:
        _migrate(connection)


def _version(connection: Connection) -> str | None:
    """What alembic wrote; None where it never was here."""
    table = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
    if connection.exec_driver_sql(table).first() is None:
        return None
    versions = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    return versions[0] if len(versions) == 1 else None


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    # A configuration's text has %-interpolation.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    heads = set(script.get_heads())
    found = set(MigrationContext.configure(connection).get_current_heads())
    if not found <= known:
        raise StorageTooNew(
            f"the data has schema {min(found - known)!r}, but this icecore knows up to "
            f"{min(heads)!r}: it was written by a newer icecore, so use that one"
        )
    if found != heads:
        command.upgrade(config, "head")

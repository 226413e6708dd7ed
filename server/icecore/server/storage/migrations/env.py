"""What alembic runs around migrations: on the connection that `upgrading` hands in."""

from alembic import context

from icecore.server.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

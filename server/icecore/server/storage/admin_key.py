"""The administrator's key: made at a data folder's first start, and left in it."""

from pathlib import Path

from icecore.server.storage.private_files import write_private
from icecore.server.storage.promise import Store
from icecore.server.tenants import new_secret


def make_admin_key(store: Store, path: Path) -> None:
    """At the first start make the administrator's key, and write it to `path`.

    The file comes before its hash is stored, so that a server killed in between makes another.
    """
    if store.keys(None):
        return
    secret = new_secret()
    write_private(path, secret.text + "\n")
    store.create_key(secret.key_id, secret.hash, tenant_id=None, label="first start")

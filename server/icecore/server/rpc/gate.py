"""Who is calling: a key, or the place a call comes from, to a principal.

A wrong key is never anyone. No key is the tenant `default` on the folder's own
socket and on a loopback address, until the first tenant's key is made or the
server requires keys.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from icecore.server.errors import AdminRequired, KeyRequired, KeyUnknown, TenantKeyRequired
from icecore.server.rpc.access import Access
from icecore.server.storage.promise import Store
from icecore.server.storage.records import KeyRecord
from icecore.server.tenants import DEFAULT_TENANT, Principal, hash_of

_KEPT_KEYS: Final = 10_000


class Gate:
    """Knows the keys; remembers those it has seen until `forget`."""

    def __init__(self, store: Store, *, require_keys: bool, listens_to_others: bool) -> None:
        """With `listens_to_others` TCP needs keys, wherever a call seems to come from:

        behind a proxy on the same machine every peer is a loopback address.
        """
        self._store = store
        self._require_keys = require_keys
        self._listens_to_others = listens_to_others
        self._kept: dict[bytes, KeyRecord] = {}
        self._keys_exist: bool | None = None
        self._n_forgotten = 0

    async def admit(
        self, access: Access, metadata: Iterable[tuple[str, str | bytes]], *, peer: str
    ) -> Principal | None:
        """Return who is calling, None where it does not matter.

        Args:
            access: who may make this call.
            metadata: of the call; the credential is in `authorization`.
            peer: gRPC's name of the other end, such as "unix:" or "ipv4:127.0.0.1:4711".

        Raises:
            KeyRequired, KeyUnknown: nobody, or nobody we know.
            AdminRequired, TenantKeyRequired: somebody, but not for this call.
        """
        if access is Access.ANYONE:
            return None
        credentials = [value for key, value in metadata if key == "authorization"]
        if credentials:
            principal = await self._of_key(credentials)
        else:
            principal = await self._of_place(peer)
        if access is Access.ADMINISTRATOR and not principal.is_administrator:
            raise AdminRequired(
                f"tenant {principal.tenant_id!r} may not do this: it takes the administrator's key"
            )
        if access is Access.TENANT and principal.is_administrator:
            raise TenantKeyRequired(
                "the administrator's key owns no data: call with a tenant's key, made with "
                "CreateKey (icecore tenants create-key TENANT)"
            )
        return principal

    def surely(self, metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
        """Return the tenant of a call if that is known without looking anything up, else None.

        None says nothing: `admit` does. It is for what has to be quick.
        """
        credentials = [value for key, value in metadata if key == "authorization"]
        if not credentials:
            is_open = not self._require_keys and not self._listens_to_others
            return DEFAULT_TENANT if is_open and self._keys_exist is False else None
        scheme, _, secret = str(credentials[0]).partition(" ")
        if len(credentials) > 1 or scheme.lower() != "bearer":
            return None
        record = self._kept.get(hash_of(secret.strip()))
        return None if record is None else record.tenant_id

    def forget(self) -> None:
        """Look keys up again. To be called after any of them has changed."""
        self._n_forgotten += 1
        self._kept.clear()
        if not self._keys_exist:
            self._keys_exist = None

    async def _of_key(self, credentials: list[str | bytes]) -> Principal:
        scheme, _, secret = str(credentials[0]).partition(" ")
        if len(credentials) > 1 or scheme.lower() != "bearer" or not secret:
            raise KeyUnknown("the credential is not one 'authorization: Bearer KEY'")
        hashed = hash_of(secret.strip())
        record = self._kept.get(hashed)
        if record is None:
            n_forgotten = self._n_forgotten
            record = await asyncio.to_thread(self._store.find_key, hashed)
            if record is None:
                raise KeyUnknown("the key is not known: it is mistyped or was revoked")
            if n_forgotten == self._n_forgotten:
                if len(self._kept) >= _KEPT_KEYS:
                    self._kept.clear()
                self._kept[hashed] = record
        return Principal(record.tenant_id, record.key_id)

    async def _of_place(self, peer: str) -> Principal:
        if self._require_keys:
            raise KeyRequired("this server requires a key: 'authorization: Bearer KEY'")
        if not peer.startswith("unix:") and self._listens_to_others:
            raise KeyRequired("this address requires a key: 'authorization: Bearer KEY'")
        if await self._any_tenant_key_was_made():
            raise KeyRequired(
                "tenants have keys here, so a key is required: 'authorization: Bearer KEY'"
            )
        return Principal(DEFAULT_TENANT)

    async def _any_tenant_key_was_made(self) -> bool:
        if self._keys_exist is not None:
            return self._keys_exist
        n_forgotten = self._n_forgotten
        was_made = await asyncio.to_thread(self._store.any_tenant_key_was_made)
        if n_forgotten == self._n_forgotten:
            self._keys_exist = was_made
        return was_made

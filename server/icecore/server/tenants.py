"""Keys and who is calling. It stores nothing and knows no gRPC.

A key is 256 random bits, shown once and kept as its SHA-256. A hash without
salt or stretching is right here, because nobody can guess 256 random bits.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Self

from icecore.server.errors import AdminRequired, TenantKeyRequired

DEFAULT_TENANT = "default"
"""Who calls over loopback without a key."""

KEY_PREFIX = "icecore_"
"""Lets people and secret scanners see what a leaked string is."""

_KEY_BYTES = 32
_KEY_ID_BYTES = 6


def hash_key(key: str) -> bytes:
    """Return the SHA-256 of a key as printed: what is stored and looked up (32 bytes)."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True, slots=True)
class Secret:
    """A new key: `key` for its owner's eyes, once; `key_id` and `hash` to be stored."""

    key: str = field(repr=False)
    key_id: str

    @classmethod
    def new(cls) -> Self:
        """Return a key of 256 random bits under a random id that tells nothing of it."""
        return cls(
            key=KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES),
            key_id=secrets.token_hex(_KEY_ID_BYTES),
        )

    @property
    def hash(self) -> bytes:
        return hash_key(self.key)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: a tenant, or the administrator (`tenant_id` None)."""

    tenant_id: str | None

    @property
    def is_administrator(self) -> bool:
        return self.tenant_id is None

    def tenant(self) -> str:
        """Return the tenant's id.

        Raises:
            TenantKeyRequired: the administrator called, who owns no data.
        """
        if self.tenant_id is None:
            raise TenantKeyRequired(
                "the administrator's key owns no data: call with a tenant's key, "
                "made with CreateKey (icecore tenants create-key TENANT)"
            )
        return self.tenant_id

    def check_administrator(self) -> None:
        """Pass if the administrator called.

        Raises:
            AdminRequired: a tenant called.
        """
        if self.tenant_id is not None:
            raise AdminRequired(
                f"tenant {self.tenant_id!r} may not do this: it takes the administrator's key"
            )


ADMINISTRATOR = Principal(None)

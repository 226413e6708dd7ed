"""Keys and who is calling. It stores nothing and knows no gRPC.

A key is 256 random bits, shown once and kept as its SHA-256. A hash without
salt or stretching is right here, because nobody can guess 256 random bits.
"""

import hashlib
import secrets
from dataclasses import dataclass, field

DEFAULT_TENANT = "default"
"""Who calls over loopback without a key."""

KEY_PREFIX = "icecore_"
"""Lets people and secret scanners see what a leaked string is."""

_KEY_BYTES = 32
_KEY_ID_BYTES = 6


@dataclass(frozen=True, slots=True)
class Secret:
    """A new key: `text` for its owner, once; `key_id` and `hash` to be stored."""

    key_id: str
    text: str = field(repr=False)

    @property
    def hash(self) -> bytes:
        return hash_of(self.text)


def new_secret() -> Secret:
    """Return a key of 256 random bits, under a random id that tells nothing of it."""
    return Secret(
        key_id=secrets.token_hex(_KEY_ID_BYTES),
        text=KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES),
    )


def hash_of(text: str) -> bytes:
    """Return the SHA-256 of a key as printed (32 bytes): what is stored and looked up."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: a tenant, or the administrator (`tenant_id` None), who owns no data.

    `key_id` is of the key used, "" without one; who calls is the same under any key.
    """

    tenant_id: str | None
    key_id: str = field(default="", compare=False)

    @property
    def is_administrator(self) -> bool:
        return self.tenant_id is None

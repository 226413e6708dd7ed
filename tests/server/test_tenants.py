"""Keys and principals."""

import base64
import hashlib

from icecore.server.tenants import KEY_PREFIX, Principal, hash_of, new_secret
from icecore.wire.names import check_id


def test_a_key_has_256_bits_and_is_never_the_same() -> None:
    secrets = [new_secret() for _ in range(100)]
    assert len({secret.text for secret in secrets}) == 100
    assert len({secret.key_id for secret in secrets}) == 100
    for secret in secrets:
        assert secret.text.startswith(KEY_PREFIX)
        encoded = secret.text.removeprefix(KEY_PREFIX)
        assert len(base64.urlsafe_b64decode(encoded + "=")) == 32
        assert check_id("key", secret.key_id) == secret.key_id


def test_what_is_stored_is_the_hash_of_what_is_shown() -> None:
    secret = new_secret()
    assert secret.hash == hash_of(secret.text) == hashlib.sha256(secret.text.encode()).digest()
    assert secret.key_id not in secret.text


def test_a_secret_is_not_printed_by_accident() -> None:
    secret = new_secret()
    assert secret.text not in repr(secret)


def test_any_text_may_be_looked_up() -> None:
    assert len(hash_of("\ud800 ü")) == 32


def test_the_administrator_is_no_tenant() -> None:
    assert Principal(None).is_administrator
    assert not Principal("default").is_administrator

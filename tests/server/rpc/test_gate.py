"""Who is calling: the whole table of places, keys and settings."""

import hashlib
from datetime import UTC, datetime
from itertools import product
from typing import Any, cast

import pytest

from icecore.server import errors
from icecore.server.rpc.access import Access, access_to
from icecore.server.rpc.gate import Gate
from icecore.server.storage.promise import Store
from icecore.server.storage.records import KeyRecord
from icecore.server.tenants import Principal, Secret, hash_of, new_secret

SOCKET, LOOPBACK, OTHER = "unix:", "ipv4:127.0.0.1:4711", "ipv4:10.1.2.3:4711"


class Keys:
    """The part of a store that the gate asks."""

    def __init__(self) -> None:
        self.records: dict[bytes, KeyRecord] = {}
        self.was_made = False
        self.n_asked = 0

    def make(self, tenant_id: str | None) -> Secret:
        secret = new_secret()
        record = KeyRecord(secret.key_id, tenant_id, "", datetime.now(UTC))
        self.records[secret.hash] = record
        self.was_made = self.was_made or tenant_id is not None
        return secret

    def find_key(self, key_hash: bytes) -> KeyRecord | None:
        self.n_asked += 1
        return self.records.get(key_hash)

    def any_tenant_key_was_made(self) -> bool:
        return self.was_made


def _gate(keys: Keys, *, require_keys: bool = False, listens_to_others: bool = False) -> Gate:
    return Gate(cast(Store, keys), require_keys=require_keys, listens_to_others=listens_to_others)


def _bearer(text: str) -> tuple[tuple[str, str], ...]:
    return (("user-agent", "x"), ("authorization", f"Bearer {text}"))


@pytest.mark.parametrize(
    ("place", "credential", "key_was_made", "require_keys", "access"),
    list(
        product(
            (SOCKET, LOOPBACK, OTHER),
            ("none", "tenant", "administrator", "wrong"),
            (False, True),
            (False, True),
            tuple(Access),
        )
    ),
)
async def test_the_table_of_who_may_call(
    place: str, credential: str, key_was_made: bool, require_keys: bool, access: Access
) -> None:
    keys = Keys()
    tenant, administrator = keys.make("ours"), keys.make(None)
    keys.was_made = key_was_made
    gate = _gate(keys, require_keys=require_keys, listens_to_others=place == OTHER)
    metadata = {
        "none": (),
        "tenant": _bearer(tenant.text),
        "administrator": _bearer(administrator.text),
        "wrong": _bearer(new_secret().text),
    }[credential]

    keyless_is_default = place != OTHER and not key_was_made and not require_keys
    expected: Any
    if access is Access.ANYONE:
        expected = None
    elif credential == "wrong":
        expected = errors.KeyUnknown
    elif credential == "none" and not keyless_is_default:
        expected = errors.KeyRequired
    elif access is Access.ADMINISTRATOR:
        expected = Principal(None) if credential == "administrator" else errors.AdminRequired
    elif credential == "administrator":
        expected = Principal(None) if access is Access.KNOWN else errors.TenantKeyRequired
    else:
        expected = Principal("ours" if credential == "tenant" else "default")

    if isinstance(expected, type):
        with pytest.raises(expected):
            await gate.admit(access, metadata, peer=place)
    else:
        assert await gate.admit(access, metadata, peer=place) == expected


async def test_who_calls_is_known_by_the_keys_id_too() -> None:
    """It is written down with what an administrator adds; who calls is the same under any key."""
    keys = Keys()
    secret = keys.make(None)
    principal = await _gate(keys).admit(Access.KNOWN, _bearer(secret.text), peer=SOCKET)
    assert principal is not None
    assert principal.key_id == secret.key_id
    assert principal == Principal(None)
    nobody = await _gate(Keys()).admit(Access.TENANT, (), peer=SOCKET)
    assert nobody is not None
    assert nobody.key_id == ""


async def test_behind_an_address_for_others_a_loopback_peer_may_be_a_proxy() -> None:
    gate = _gate(Keys(), listens_to_others=True)
    with pytest.raises(errors.KeyRequired):
        await gate.admit(Access.TENANT, (), peer=LOOPBACK)
    assert await gate.admit(Access.TENANT, (), peer=SOCKET) == Principal("default")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_schemes_case_does_not_matter(scheme: str) -> None:
    keys = Keys()
    metadata = (("authorization", f"{scheme} {keys.make('a').text}"),)
    assert await _gate(keys).admit(Access.TENANT, metadata, peer=SOCKET) == Principal("a")


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic YTpi", "KEY", b"\xff"])
async def test_a_credential_that_is_no_bearer_key_is_nobody(value: str | bytes) -> None:
    keys = Keys()
    if value == "KEY":
        value = keys.make("a").text
    keys.was_made = False
    with pytest.raises(errors.KeyUnknown):
        await _gate(keys).admit(Access.TENANT, (("authorization", value),), peer=SOCKET)


async def test_two_credentials_are_nobody() -> None:
    keys = Keys()
    metadata = _bearer(keys.make("a").text) + _bearer(keys.make("b").text)
    with pytest.raises(errors.KeyUnknown):
        await _gate(keys).admit(Access.TENANT, metadata, peer=SOCKET)


async def test_the_hash_of_a_key_is_not_the_key() -> None:
    """Who reads the database cannot call."""
    keys = Keys()
    secret = keys.make("a")
    assert secret.hash == hash_of(secret.text) == hashlib.sha256(secret.text.encode()).digest()
    with pytest.raises(errors.KeyUnknown):
        await _gate(keys).admit(Access.TENANT, _bearer(secret.hash.hex()), peer=SOCKET)


async def test_a_key_is_looked_up_once_until_keys_change() -> None:
    keys = Keys()
    secret = keys.make("a")
    gate = _gate(keys)
    for _ in range(3):
        await gate.admit(Access.TENANT, _bearer(secret.text), peer=SOCKET)
    assert keys.n_asked == 1
    keys.records.clear()
    gate.forget()
    with pytest.raises(errors.KeyUnknown):
        await gate.admit(Access.TENANT, _bearer(secret.text), peer=SOCKET)


async def test_a_lookup_that_a_revocation_overtakes_is_not_remembered() -> None:
    keys = Keys()
    secret = keys.make("a")
    gate = _gate(keys)
    find = keys.find_key

    def overtaken(key_hash: bytes) -> KeyRecord | None:
        record = find(key_hash)
        keys.records.clear()
        gate.forget()
        return record

    keys.find_key = overtaken  # type: ignore[method-assign]
    await gate.admit(Access.TENANT, _bearer(secret.text), peer=SOCKET)
    with pytest.raises(errors.KeyUnknown):
        await gate.admit(Access.TENANT, _bearer(secret.text), peer=SOCKET)


async def test_the_first_tenants_key_ends_keyless_calls_at_once() -> None:
    keys = Keys()
    gate = _gate(keys)
    keys.make(None)
    assert await gate.admit(Access.TENANT, (), peer=SOCKET) == Principal("default")
    keys.make("a")
    gate.forget()
    with pytest.raises(errors.KeyRequired):
        await gate.admit(Access.TENANT, (), peer=SOCKET)
    keys.records.clear()
    with pytest.raises(errors.KeyRequired):
        await gate.admit(Access.TENANT, (), peer=SOCKET)


def test_calls_are_for_tenants_unless_they_are_said_to_be_for_others() -> None:
    assert access_to("/icecore.v1.CodesService/Embed") is Access.TENANT
    assert access_to("/icecore.v1.BackboneService/ListBackbones") is Access.KNOWN
    assert access_to("/icecore.v1.BackboneService/GetBackbone") is Access.KNOWN
    for name in ("AddBackbone", "RemoveBackbone", "CheckRecipe", "QuantiseBackbone"):
        assert access_to(f"/icecore.v1.BackboneService/{name}") is Access.ADMINISTRATOR
    assert access_to("/icecore.v1.TenantService/CreateKey") is Access.ADMINISTRATOR
    assert access_to("/grpc.health.v1.Health/Watch") is Access.ANYONE
    assert access_to("/something.else/Entirely") is Access.TENANT


@pytest.mark.parametrize("place", [SOCKET, LOOPBACK, OTHER])
@pytest.mark.parametrize("key_was_made", [False, True])
@pytest.mark.parametrize("require_keys", [False, True])
async def test_who_is_surely_somebody_is_let_in_as_that(
    place: str, key_was_made: bool, require_keys: bool
) -> None:
    """Without looking anything up: nobody at first, and never anyone whom `admit` refuses."""
    keys = Keys()
    tenant, administrator = keys.make("ours"), keys.make(None)
    keys.was_made = key_was_made
    gate = _gate(keys, require_keys=require_keys, listens_to_others=place == OTHER)
    credentials: list[tuple[tuple[str, str], ...]] = [
        (),
        _bearer(tenant.text),
        _bearer(administrator.text),
        _bearer(new_secret().text),
        _bearer(tenant.text) + _bearer(tenant.text),
        (("authorization", f"Basic {tenant.text}"),),
    ]
    for metadata in credentials:
        assert gate.surely(metadata) is None
    found: list[str | None] = []
    for metadata in credentials:
        try:
            principal = await gate.admit(Access.TENANT, metadata, peer=place)
        except errors.IcecoreError:
            principal = None
        n_asked = keys.n_asked
        found.append(gate.surely(metadata))
        assert keys.n_asked == n_asked
        if found[-1] is not None:
            assert principal is not None
            assert principal.tenant_id == found[-1]
    assert found[1] == "ours"
    gate.forget()
    assert gate.surely(_bearer(tenant.text)) is None

"""Addresses are checked, and a key is never shown to the network."""

from pathlib import Path

import pytest

from icecore.client import AsyncClient, Client, InvalidArgument
from icecore.client._address import Endpoint, parse_address
from icecore.client._channel import options
from icecore.client._where import Embedded, data_folder, where

LOCAL = [
    "127.0.0.1:1",
    "127.9.9.9:65535",
    "localhost:80",
    "LOCALHOST:80",
    "[::1]:80",
    "unix:/a/b.sock",
]
REMOTE = [
    "10.0.0.1:80",
    "example.org:80",
    "127.0.0.1.example.org:80",
    "localhost.example.org:80",
    "0.0.0.0:80",
    "[::ffff:10.0.0.1]:80",
    "[2001:db8::1]:80",
]
BROKEN = [
    "",
    "host",
    "host:",
    ":80",
    "host:0",
    "host:65536",
    "host:x",
    "http://host:80",
    "dns:///host:80",
    "ipv4:10.0.0.1:80,127.0.0.1:80",
    "user@host:80",
    "::1:80",
    "host:80/path",
    "unix:relative.sock",
    "unix:///a.sock",
    "unix:/a\0b",
    "unix-abstract:a",
    "host:80\n",
]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ICECORE_SERVER", "ICECORE_KEY", "ICECORE_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("text", LOCAL)
def test_loopback_and_sockets_are_local(text: str) -> None:
    assert parse_address(text).is_local


@pytest.mark.parametrize("text", REMOTE)
def test_all_else_is_not_local_even_if_it_looks_so(text: str) -> None:
    assert not parse_address(text).is_local


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"address '.*"):
        parse_address(text)


@pytest.mark.parametrize("twin", [Client, AsyncClient])
@pytest.mark.parametrize("text", REMOTE)
def test_a_key_does_not_travel_in_the_open(text: str, twin: type[Client | AsyncClient]) -> None:
    with pytest.raises(InvalidArgument, match="a key would travel unencrypted") as refused:
        twin(text, key="icecore_secret")
    assert refused.value.reason == "INSECURE_TRANSPORT"
    assert "icecore_secret" not in str(refused.value)
    twin(text)
    twin(text, key="icecore_secret", tls=True)
    twin(text, key="icecore_secret", insecure_transport=True)


def test_a_key_of_the_environment_is_as_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICECORE_KEY", "icecore_secret")
    with pytest.raises(InvalidArgument, match="unencrypted"):
        Client("example.org:80")
    Client("127.0.0.1:80")


@pytest.mark.parametrize("key", ["", "two words", "line\n", "x\r\nother: header", "schlüssel"])
def test_what_no_header_can_hold_is_no_key(key: str) -> None:
    with pytest.raises(InvalidArgument, match="the key is empty or holds"):
        Client("127.0.0.1:80", key=key)


def test_keys_are_not_shown() -> None:
    endpoint = Endpoint(parse_address("127.0.0.1:80"), key="icecore_secret")
    assert "secret" not in repr(endpoint)
    assert "secret" not in repr(Embedded(Path("/x"), 1.0, "icecore_secret"))
    assert endpoint.metadata == (("authorization", "Bearer icecore_secret"),)


def test_local_calls_take_no_proxy() -> None:
    """A proxy from the environment would carry the key off this machine."""
    assert ("grpc.enable_http_proxy", 0) in options(Endpoint(parse_address("localhost:80")))
    assert not any(
        name == "grpc.enable_http_proxy"
        for name, _ in options(Endpoint(parse_address("example.org:80")))
    )


def decided(address: str | None = None, **given: object) -> Endpoint | Embedded:
    arguments: dict[str, object] = {
        "data": None,
        "key": None,
        "ca": None,
        "tls": False,
        "insecure_transport": False,
        "until_idle_s": 10.0,
    }
    return where(address, **{**arguments, **given})  # type: ignore[arg-type]


def test_arguments_win_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ICECORE_SERVER", "127.0.0.1:1")
    monkeypatch.setenv("ICECORE_DATA", str(tmp_path / "env"))
    assert str(decided().address) == "127.0.0.1:1"  # type: ignore[union-attr]
    assert str(decided("127.0.0.1:2").address) == "127.0.0.1:2"  # type: ignore[union-attr]
    assert decided(data=tmp_path) == Embedded(tmp_path, 10.0)
    monkeypatch.delenv("ICECORE_SERVER")
    assert decided() == Embedded(tmp_path / "env", 10.0)
    monkeypatch.delenv("ICECORE_DATA")
    assert data_folder().is_absolute()


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="a client has one"):
        decided("127.0.0.1:1", data=tmp_path)
    with pytest.raises(InvalidArgument, match="without the address"):
        decided(tls=True)
    with pytest.raises(InvalidArgument, match="which has no TLS"):
        decided("unix:/a.sock", tls=True)
    (tmp_path / "ca.pem").write_text("not one")
    with pytest.raises(InvalidArgument, match="no certificate in PEM form"):
        decided("example.org:1", ca=tmp_path / "ca.pem")
    for path, why in ((tmp_path / "absent.pem", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(InvalidArgument, match=f"ca is '{path}', which cannot be read: {why}"):
            decided("example.org:1", ca=path)

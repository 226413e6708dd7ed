"""What a server may be told, and what it refuses."""

from pathlib import Path

import pytest

from icecore.server.settings import (
    METRICS_ADDRESS,
    HelpWanted,
    Settings,
    SettingsInvalid,
    host_and_port,
    is_loopback,
    read_settings,
)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:8471", ("127.0.0.1", 8471)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:9", ("::1", 9)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_an_address_is_host_and_port(address: str, parts: tuple[str, int]) -> None:
    assert host_and_port(address) == parts


@pytest.mark.parametrize(
    "address", ["", "8471", ":8471", "localhost", "localhost:", "a:b", "a:65536", "::1:8471", "a:²"]
)
def test_anything_else_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"127\.0\.0\.1:8471|\[::1\]:8471"):
        host_and_port(address)


def test_metrics_are_shown_where_others_may_reach_the_server() -> None:
    data = Path("d")
    assert Settings(data).metrics_address is None
    assert Settings(data, listen="127.0.0.1:1").metrics_address == METRICS_ADDRESS
    assert Settings(data, listen="127.0.0.1:1", metrics="off").metrics_address is None
    assert Settings(data, metrics="0.0.0.0:9").metrics_address == "0.0.0.0:9"
    with pytest.raises(SettingsInvalid, match="--metrics is 'on', but must be HOST:PORT"):
        Settings(data, metrics="on")


@pytest.mark.parametrize("url", ["localhost:4317", "http://", "https://me:key@host:1", "on", ""])
def test_traces_go_to_an_url_without_a_secret_in_it(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="--traces must be") as caught:
        Settings(Path("d"), traces=url)
    assert "me:key" not in str(caught.value)
    assert Settings(Path("d"), traces="https://collector:4317").traces == "https://collector:4317"


def test_a_command_line_follows_the_variables_of_opentelemetry() -> None:
    assert read_settings([], {}).traces == "auto"
    assert read_settings(["--traces", "off"], {}).traces == "off"
    assert Settings(Path("d")).traces == "off", "a server inside of a program does not"


def test_only_addresses_of_this_machine_are_loopback() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1"))
    others = ("0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org", "")
    assert not any(is_loopback(host) for host in others)


def test_an_address_that_others_reach_needs_tls_or_the_word_that_something_does_it() -> None:
    with pytest.raises(SettingsInvalid, match="--insecure-transport"):
        read_settings(["--listen", "0.0.0.0:1"], {})
    assert read_settings(["--listen", "0.0.0.0:1", "--insecure-transport"], {}).listens_to_others
    with_tls = ["--listen", "0.0.0.0:1", "--tls-cert", "c.pem", "--tls-key", "k.pem"]
    assert read_settings(with_tls, {}).tls_cert == Path("c.pem")
    assert not read_settings(["--listen", "127.0.0.1:1"], {}).listens_to_others


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tls-cert", "c.pem"],
        ["--listen", "127.0.0.1:1", "--tls-key", "k.pem"],
        ["--tls-cert", "c.pem", "--tls-key", "k.pem"],
        ["--until-idle", "0"],
        ["--until-idle", "nan"],
        ["--until-idle", "soon"],
        ["--threads", "-1"],
        ["--training-workers", "0"],
        ["--max-message-mb", "0"],
        ["--max-message-mb", "2048"],
        ["--wrong"],
        ["--list", "127.0.0.1:1"],
        ["folder"],
    ],
)
def test_what_cannot_be_is_refused_with_one_line(arguments: list[str]) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        read_settings(arguments, {})
    assert "\n" not in str(caught.value), "the sentence has several lines"


def test_flags_win_over_variables() -> None:
    environment = {
        "ICECORE_LISTEN": "127.0.0.1:1",
        "ICECORE_REQUIRE_KEYS": "1",
        "ICECORE_THREADS": "3",
        "ICECORE_DATA": "here",
    }
    settings = read_settings(["--listen", "127.0.0.1:2"], environment)
    assert settings.listen == "127.0.0.1:2"
    assert (settings.require_keys, settings.threads, settings.data) == (True, 3, Path("here"))
    assert read_settings([], {"ICECORE_REQUIRE_KEYS": "0"}).require_keys is False
    with pytest.raises(SettingsInvalid, match="ICECORE_REQUIRE_KEYS"):
        read_settings([], {"ICECORE_REQUIRE_KEYS": "yes"})


def test_without_a_number_all_cores_work() -> None:
    assert Settings(Path("data")).threads >= 1


def test_help_is_asked_for_and_not_an_error() -> None:
    with pytest.raises(HelpWanted, match="--until-idle"):
        read_settings(["--help"], {})

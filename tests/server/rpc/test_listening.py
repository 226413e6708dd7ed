"""What is said of an address or a certificate that cannot be used."""

import shutil
import socket
import subprocess
from pathlib import Path

import grpc
import pytest

from icecore.server.rpc.listening import credentials, listen_on_tcp
from icecore.server.settings import Settings, SettingsInvalid, read_settings


def _settings(folder: Path, certificate: Path, key: Path) -> Settings:
    flags = ["--data", str(folder), "--listen", "127.0.0.1:0"]
    return read_settings([*flags, "--tls-cert", str(certificate), "--tls-key", str(key)])


async def test_why_an_address_cannot_be_had_is_told() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsInvalid, match=rf"127.0.0.1:{port}': the port is taken$"):
            listen_on_tcp(server, f"127.0.0.1:{port}", None)
    with pytest.raises(SettingsInvalid, match=r"the host is not an address of this machine$"):
        listen_on_tcp(server, "192.0.2.1:0", None)
    with pytest.raises(SettingsInvalid, match=r"there is no such host$"):
        listen_on_tcp(server, "no-such-host.invalid:0", None)
    await server.stop(None)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_which_part_of_a_certificate_is_wrong_is_told(tmp_path: Path) -> None:
    for name in ("one", "two"):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=host"),
                *("-keyout", f"{name}.key", "-out", f"{name}.crt"),
            ],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    one, key, other = tmp_path / "one.crt", tmp_path / "one.key", tmp_path / "two.key"
    assert credentials(_settings(tmp_path, one, key)) is not None
    for certificate, private, said in (
        (tmp_path / "absent.crt", key, "--tls-cert .*absent.crt' cannot be read: No such file"),
        (one, tmp_path / "absent.key", "--tls-key .*absent.key' cannot be read: No such file"),
        (one, other, "two.key' is not the key of this certificate$"),
        (key, key, "holds no certificate in PEM form$"),
        (one, one, "holds no unencrypted private key in PEM form$"),
    ):
        with pytest.raises(SettingsInvalid, match=said):
            credentials(_settings(tmp_path, certificate, private))

"""Addresses and credentials of the gRPC server: the folder's socket, and TCP."""

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc

from icecore.server.rpc.health import Health
from icecore.server.rpc.reading import core_limit
from icecore.server.settings import Settings, SettingsInvalid, host_and_port
from icecore.server.telemetry.exposition import showing

_MIN_PING_INTERVAL_MS: Final = 10_000


def options(settings: Settings) -> list[tuple[str, Any]]:
    """Return the options that gRPC is given.

    Without `so_reuseport` 0 a second server would quietly share the port; pings
    are allowed so that embedded clients and proxies may keep connections alive.
    """
    return [
        ("grpc.max_receive_message_length", core_limit(settings.max_message_bytes)),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
        ("grpc.http2.max_ping_strikes", 0),
    ]


def listen_on_socket(server: "grpc.aio.Server", path: Path) -> str:
    """Bind the socket, readable by its owner alone, and return its address.

    Raises:
        OSError: it cannot be bound.
    """
    address = f"unix:{path}"
    before = os.umask(0o177)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot make the socket {str(path)!r}: {error}") from error
    finally:
        os.umask(before)
    path.chmod(0o600)
    return address


def listen_on_tcp(
    server: "grpc.aio.Server", address: str | None, credentials: grpc.ServerCredentials | None
) -> str | None:
    """Bind HOST:PORT, with TLS if there are credentials, and return it; None without one.

    Raises:
        SettingsInvalid: the address is taken or not of this machine.
    """
    if address is None:
        return None
    host, port = host_and_port(address)
    shown = f"[{host}]" if ":" in host else host
    try:
        if credentials is None:
            port = server.add_insecure_port(f"{shown}:{port}")
        else:
            port = server.add_secure_port(f"{shown}:{port}", credentials)
    except RuntimeError as error:
        raise SettingsInvalid(f"cannot listen on {address!r}: {_why(host, port)}") from error
    return f"{shown}:{port}"


def _why(host: str, port: int) -> str:
    """Return what gRPC does not tell of an address that cannot be bound."""
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return "there is no such host"
    with socket.socket(family, kind) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "the port is taken"
            if error.errno == errno.EADDRNOTAVAIL:
                return "the host is not an address of this machine"
            return str(error.strerror)
    return "it could be had a moment later: try again"


async def show_metrics(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    *,
    metrics: Callable[[], bytes],
    health: Health,
) -> str | None:
    """Serve Prometheus' page as long as the stack lasts; return its address, None without one.

    Raises:
        SettingsInvalid: the address that was asked for is taken or not of this machine.
    """
    address = settings.metrics_address
    if address is None:
        return None
    host, port = host_and_port(address, flag="--metrics")
    show = partial(
        showing,
        host,
        metrics=metrics,
        is_alive=lambda: health.is_alive,
        is_ready=lambda: health.is_ready,
    )
    try:
        return await stack.enter_async_context(show(port))
    except OSError as error:
        if settings.metrics is None:  # nobody asked for this port
            return await stack.enter_async_context(show(0))
        raise SettingsInvalid(f"cannot show metrics on {address!r}: {_why(host, port)}") from error


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Return what TLS needs, None without TLS.

    Raises:
        SettingsInvalid: the certificate or its key cannot be used.
    """
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None or key is None:
        return None
    pair = (_read("--tls-key", key), _read("--tls-cert", certificate))
    try:
        # OpenSSL says what is wrong with them; gRPC only that something is.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise SettingsInvalid(_why_not(certificate, key, pair, error)) from error
    return grpc.ssl_server_credentials([pair])


def _read(flag: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsInvalid(f"{flag} {str(path)!r} cannot be read: {error.strerror}") from error


def _why_not(certificate: Path, key: Path, pair: tuple[bytes, bytes], error: Exception) -> str:
    if b"-----BEGIN CERTIFICATE-----" not in pair[1]:
        return f"--tls-cert {str(certificate)!r} holds no certificate in PEM form"
    if b"PRIVATE KEY-----" not in pair[0] or b"ENCRYPTED" in pair[0]:
        return f"--tls-key {str(key)!r} holds no unencrypted private key in PEM form"
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"--tls-key {str(key)!r} is not the key of this certificate"
    return f"--tls-cert {str(certificate)!r} and its key cannot be used: {error}"

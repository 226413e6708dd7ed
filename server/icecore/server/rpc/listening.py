"""Addresses and credentials of the gRPC server: the folder's socket, and TCP."""

import contextlib
import os
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
        raise SettingsInvalid(
            f"cannot listen on {address!r}: the port is taken, or the host is not an address of "
            "this machine"
        ) from error
    return f"{shown}:{port}"


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
        raise SettingsInvalid(f"cannot show metrics on {address!r}: {error.strerror}") from error


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Return what TLS needs, None without TLS.

    Raises:
        SettingsInvalid: the certificate or its key cannot be used.
    """
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None or key is None:
        return None
    try:
        # OpenSSL says what is wrong with them; gRPC only that something is.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        pair = (key.read_bytes(), certificate.read_bytes())
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise SettingsInvalid(
            f"certificate {str(certificate)!r} with key {str(key)!r} cannot be used: {error}"
        ) from error
    return grpc.ssl_server_credentials([pair])

"""Channel options and the retry policy, as gRPC's service config."""

import json

import grpc
from grpc import aio

from icecore.client._address import Endpoint
from icecore.v1 import backbone_pb2, codes_pb2, collection_pb2, probe_pb2, tenant_pb2

NOT_REPEATED = {"/icecore.v1.TenantService/CreateKey"}
"""Repeating this one would make a second key. All others only read, or carry a request id."""

MAX_ATTEMPTS = 5
"""Most that gRPC allows. With the backoff below about two seconds; `_pacing` goes on from there."""

RETRY_POLICY = {
    "maxAttempts": MAX_ATTEMPTS,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2.5,
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
"""CANCELLED is what gRPC's own servers tell calls that come while they end; a call that
is cancelled here is not repeated."""

_RETRY_BUFFER_BYTES = 256 << 20
"""gRPC forgets what it may have to send again above this; its default is under one image."""

_KEEPALIVE_MS = 300_000
"""As often as a server takes pings without calling it abuse; notices a dead peer of a stream."""

_FILES = (backbone_pb2, codes_pb2, collection_pb2, probe_pb2, tenant_pb2)


def repeated_methods() -> list[tuple[str, str]]:
    """Return (service, method) of every call that gRPC may repeat.

    Streams are not among them: the transports resume those, batch by batch.
    """
    return [
        (service.full_name, method.name)
        for file in _FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if not method.client_streaming
        and not method.server_streaming
        and f"/{service.full_name}/{method.name}" not in NOT_REPEATED
    ]


def service_config() -> str:
    names = [{"service": service, "method": method} for service, method in repeated_methods()]
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": RETRY_POLICY}]})


def options(endpoint: Endpoint) -> list[tuple[str, int | str]]:
    """Return the channel's options. Messages are bounded by the server, not by gRPC's 4 MB."""
    chosen: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.service_config", service_config()),
        ("grpc.enable_retries", 1),
        ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    if endpoint.address.is_local:
        # A proxy from the environment would carry the key off this machine.
        chosen.append(("grpc.enable_http_proxy", 0))
    return chosen


def open_channel(endpoint: Endpoint) -> grpc.Channel:
    """Return a channel; it connects at the first call."""
    target, chosen = endpoint.address.target, options(endpoint)
    if endpoint.tls:
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(endpoint.roots), chosen)
    return grpc.insecure_channel(target, chosen)


def open_aio_channel(endpoint: Endpoint) -> aio.Channel:
    """Return a channel of the running event loop; it connects at the first call."""
    target, chosen = endpoint.address.target, options(endpoint)
    if endpoint.tls:
        return aio.secure_channel(target, grpc.ssl_channel_credentials(endpoint.roots), chosen)
    return aio.insecure_channel(target, chosen)

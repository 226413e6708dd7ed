"""One request over gRPC or HTTP/1.1, bytes in and bytes out, with nothing in between.

Alike for all servers, so that none is measured through a client library of its own.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio

CALLS_A_CHANNEL = 8
"""Of a gRPC caller at once, on average, as several clients would have it."""

MAX_CHANNELS = 16
PUSHBACK_KEY = "grpc-retry-pushback-ms"


@dataclass(frozen=True)
class Target:
    """Where requests go.

    `address` is HOST:PORT (gRPC: any target, such as unix:PATH), `path` the full method
    "/package.Service/Method" or the URL's path. `headers` go with each call.
    """

    protocol: str
    address: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """How a call ended, its body where well, else what was told and when to come again."""

    end: str
    body: bytes = b""
    told: str = ""
    pushback_ms: int | None = None


class Caller(Protocol):
    """Calls one target; as many at once as there are."""

    async def call(self, message: bytes, timeout_s: float) -> Answer: ...

    async def close(self) -> None: ...


def caller(target: Target, concurrency: int) -> Caller:
    """Return a caller meant for so many calls at once; it connects when it has to."""
    if target.protocol == "grpc":
        return GrpcCaller(target, min(MAX_CHANNELS, -(-concurrency // CALLS_A_CHANNEL)))
    if target.protocol == "http":
        return HttpCaller(target)
    raise ValueError(f"protocol {target.protocol!r} is not known")


class GrpcCaller:
    """Unary calls over some channels in turn, each with a connection of its own; no retries."""

    def __init__(self, target: Target, n_channels: int) -> None:
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        self._metadata = target.headers
        self._channels = [
            grpc.aio.insecure_channel(target.address, options) for _ in range(n_channels)
        ]
        self._calls: Sequence[Any] = [one.unary_unary(target.path) for one in self._channels]
        self._next = 0

    async def call(self, message: bytes, timeout_s: float) -> Answer:
        self._next = (self._next + 1) % len(self._calls)
        try:
            body = await self._calls[self._next](
                message, timeout=timeout_s, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return Answer("TIMEOUT", told=error.details() or "")
            pushback = dict(error.trailing_metadata() or ()).get(PUSHBACK_KEY)
            return Answer(
                error.code().name,
                told=error.details() or "",
                pushback_ms=None if pushback is None else int(pushback),
            )
        return Answer("OK", body)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


class HttpCaller:
    """POST requests over kept connections, a new one where all are in use."""

    def __init__(self, target: Target) -> None:
        self._host, _, port = target.address.rpartition(":")
        self._port = int(port)
        lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.address}", "Accept: */*"]
        lines += [f"{name}: {value}" for name, value in target.headers]
        self._head = "\r\n".join(lines).encode() + b"\r\nContent-Length: %d\r\n\r\n"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, message: bytes, timeout_s: float) -> Answer:
        connection = None
        try:
            async with asyncio.timeout(timeout_s):
                if self._idle:
                    connection = self._idle.pop()
                else:
                    connection = await asyncio.open_connection(self._host, self._port)
                reader, writer = connection
                writer.write(self._head % len(message))
                writer.write(message)
                status, body, is_kept = await _read(reader)
        except TimeoutError:
            _close(connection)
            return Answer("TIMEOUT")
        except (OSError, EOFError, ValueError) as error:
            _close(connection)
            return Answer("BROKEN", told=repr(error))
        if is_kept:
            self._idle.append(connection)
        else:
            _close(connection)
        if status == 200:
            return Answer("OK", body)
        return Answer(f"HTTP {status}", told=body[:500].decode(errors="replace"))

    async def close(self) -> None:
        for connection in self._idle:
            _close(connection)
        self._idle.clear()


def _close(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
    if connection is not None:
        connection[1].transport.abort()


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Return status, body and whether the connection stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    is_kept = fields.get("connection", "").lower() != "close"
    if "content-length" in fields:
        body = await reader.readexactly(int(fields["content-length"]))
    elif fields.get("transfer-encoding", "").lower() == "chunked":
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readuntil(b"\r\n")
        body = b"".join(parts)
    else:
        body, is_kept = await reader.read(), False
    return int(first.split()[1]), body, is_kept

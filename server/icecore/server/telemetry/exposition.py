"""The page that Prometheus reads, and two that orchestrators ask: a little HTTP on the loop.

GET /metrics, /healthz (of any use, or to be started anew) and /readyz (calls are taken).
Each connection gets one answer; slow and surplus ones are ended.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Final

from icecore.server.telemetry.logs import log_fault

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

MAX_CONNECTIONS: Final = 32
"""At once; scrapers need one each."""

_MAX_HEAD_BYTES: Final = 16 << 10
_PATIENCE_S: Final = 5.0


@contextlib.asynccontextmanager
async def showing(
    host: str,
    port: int,
    *,
    metrics: Callable[[], bytes],
    is_alive: Callable[[], bool],
    is_ready: Callable[[], bool],
) -> AsyncIterator[str]:
    """Serve the pages while the context lasts; give their "HOST:PORT".

    Args:
        host: without brackets; port 0 is any free one.
        metrics: the page, made in a thread.
        is_alive, is_ready: what the two other pages say, 200 or 503.

    Raises:
        OSError: the address cannot be used.
    """
    pages = _Pages(metrics, {b"/healthz": is_alive, b"/readyz": is_ready})
    server = await asyncio.start_server(pages.answer, host, port, limit=_MAX_HEAD_BYTES)
    try:
        bound_host, bound_port = server.sockets[0].getsockname()[:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        yield f"{shown}:{bound_port}"
    finally:
        server.close()
        pages.end()


class _Pages:
    def __init__(
        self, metrics: Callable[[], bytes], states: Mapping[bytes, Callable[[], bool]]
    ) -> None:
        self._metrics = metrics
        self._states = states
        self._open: set[asyncio.StreamWriter] = set()

    def end(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._response(head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            return  # who asks badly, slowly or leaves gets no answer
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _response(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _message(HTTPStatus.BAD_REQUEST)
        method, target, _ = words
        if method not in (b"GET", b"HEAD"):
            return _message(HTTPStatus.METHOD_NOT_ALLOWED)
        status, body = await self._page(target.split(b"?", 1)[0])
        return _message(status, body, is_head=method == b"HEAD")

    async def _page(self, path: bytes) -> tuple[HTTPStatus, bytes]:
        if path == b"/metrics":
            try:
                return HTTPStatus.OK, await asyncio.to_thread(self._metrics)
            except Exception as error:  # a door too: a reader of a gauge failed
                log_fault("fault", error, page="/metrics")
                return HTTPStatus.INTERNAL_SERVER_ERROR, b""
        if path in self._states:
            is_so = self._states[path]()
            return (HTTPStatus.OK if is_so else HTTPStatus.SERVICE_UNAVAILABLE), b""
        return HTTPStatus.NOT_FOUND, b"there are /metrics, /healthz and /readyz\n"


def _message(status: HTTPStatus, body: bytes = b"", *, is_head: bool = False) -> bytes:
    body = body or f"{status.phrase}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if is_head else body)

"""Lets one test drive both clients: AsyncClient behind the face of Client."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from icecore.client import AsyncClient, Client

TWINS: list[type[Client | AsyncClient]] = [Client, AsyncClient]


@contextmanager
def opened(twin: type[Client | AsyncClient], *args: Any, **given: Any) -> Iterator[Client]:
    """Yield a client of either kind that is called like Client, and close it."""
    if twin is Client:
        with Client(*args, **given) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        driven = _Driven(runner, AsyncClient(*args, **given))
        try:
            yield cast(Client, driven)
        finally:
            driven.close()


class _Driven:
    def __init__(self, runner: asyncio.Runner, client: AsyncClient) -> None:
        self._runner, self._client = runner, client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **given: Any) -> Any:
            if inspect.iscoroutinefunction(method):
                return self._runner.run(method(*args, **given))
            return self._drain(method(*args, **given))

        return call

    def _drain(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        end = object()
        try:
            while (item := self._runner.run(_next(items, end))) is not end:
                yield item
        finally:
            self._runner.run(items.aclose())  # type: ignore[attr-defined]


async def _next(items: AsyncIterator[Any], end: object) -> Any:
    return await anext(items, end)

"""grpc.health.v1: whether this server is ready for calls, and whether it is alive.

Own, since grpcio-health-checking's asyncio servicer loses a second watcher of
a service when the first leaves, and keeps watches open when the server stops.

Overload is not told here but call by call, with RESOURCE_EXHAUSTED and when to come
again: who stops sending to a server that is full moves its load to the next one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Status = health_pb2.HealthCheckResponse

LIVENESS: Final = "liveness"
"""The name whose status says whether the process is of any use, or is to be started anew."""


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # generated without types
    """Serves readiness under "" (the whole server) and each service's name, and liveness.

    Ready: the default backbone has answered, the store takes changes, and the server
    was not asked to end. Alive: the store takes changes; what else can go wrong for
    good is that nobody answers here at all.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services) | {""}
        self._is_warm = False
        self._is_stopping = False
        self._has_failed = False
        self._changed = asyncio.Condition()

    @property
    def is_ready(self) -> bool:
        return self._is_warm and not self._is_stopping and not self._has_failed

    @property
    def is_alive(self) -> bool:
        return not self._has_failed

    async def Check(self, request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
        status = self._status(request.service)
        if status == Status.SERVICE_UNKNOWN:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"there is no service {request.service[:100]!r} here"
            )
        return Status(status=status)

    async def Watch(
        self, request: Any, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[Any]:
        """Yield the status now and at each change; the stream ends when the server stops."""
        last = None
        while True:
            # Read before the status: one who is writing when the server stops is told too.
            is_last = self._is_stopping
            status = self._status(request.service)
            if status != last:
                yield Status(status=status)
                last = status
            if is_last:
                return
            async with self._changed:
                await self._changed.wait_for(
                    lambda: self._is_stopping or self._status(request.service) != last  # noqa: B023
                )

    async def set_ready(self) -> None:
        """From now on it can answer."""
        self._is_warm = True
        await self._tell()

    async def fail(self) -> None:
        """From now on only a new start helps."""
        self._has_failed = True
        await self._tell()

    async def stop(self) -> None:
        """Say NOT_SERVING to those who watch, and end their streams."""
        self._is_stopping = True
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _status(self, service: str) -> Any:
        if service == LIVENESS:
            return Status.SERVING if self.is_alive else Status.NOT_SERVING
        if service not in self._services:
            return Status.SERVICE_UNKNOWN
        return Status.SERVING if self.is_ready else Status.NOT_SERVING

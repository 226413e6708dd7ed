"""grpc.health.v1: whether this server serves.

Own, since grpcio-health-checking's asyncio servicer loses a second watcher of
a service when the first leaves, and keeps watches open when the server stops.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # generated without types
    """Serves "" (the whole server) and each service's name with one status."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services) | {""}
        self._is_serving = False
        self._is_stopping = False
        self._changed = asyncio.Condition()

    async def Check(self, request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
        if request.service not in self._services:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"there is no service {request.service[:100]!r} here"
            )
        return Status(status=self._status(request.service))

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

    @property
    def is_serving(self) -> bool:
        """Whether calls are taken."""
        return self._is_serving

    async def set_serving(self) -> None:
        self._is_serving = True
        await self._tell()

    async def stop(self) -> None:
        """Say NOT_SERVING to those who watch, and end their streams."""
        self._is_serving = False
        self._is_stopping = True
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _status(self, service: str) -> Any:
        if service not in self._services:
            return Status.SERVICE_UNKNOWN
        return Status.SERVING if self._is_serving else Status.NOT_SERVING

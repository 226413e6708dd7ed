"""A call with a stream each way; both clients use it, the async one from a thread."""

import contextlib
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

import grpc
from google.protobuf.message import Message

from icecore.client._address import Endpoint
from icecore.client._operations.operation import Operation
from icecore.client._translation import border, ended_early

_END = None
"""In the queue of requests: there are no more."""


class Stream:
    """A call with a stream each way, whose requests come out of a queue."""

    def __init__(
        self,
        channel: grpc.Channel,
        endpoint: Endpoint,
        waiting: Iterable[Operation[Any]],
        timeout_s: float | None,
    ) -> None:
        """Begin with the requests that wait, of which there is at least one."""
        operations = list(waiting)
        self._path, self._endpoint = operations[0].path, endpoint
        self._requests: SimpleQueue[Message | None] = SimpleQueue()
        for operation in operations:
            self.send(operation.request)
        with border(self._path, self._endpoint):
            self._call = channel.stream_stream(self._path, bytes_of, reader(operations[0]))(
                iter(self._requests.get, _END),
                timeout=timeout_s,
                metadata=endpoint.metadata,
            )

    def send(self, request: Message) -> None:
        self._requests.put(request)

    def end(self) -> None:
        """Say that no more requests come. Idempotent."""
        self._requests.put(_END)

    def next(self) -> Message:
        """Wait for an answer and return it.

        Raises:
            IcecoreError: the call ended; Internal if it ended well.
        """
        with border(self._path, self._endpoint):
            for answer in self._call:
                return answer
        raise ended_early(self._path, self._endpoint)

    def finish(self) -> None:
        """Let the call end by itself, all answers being there; how it ends changes nothing."""
        self.end()
        with contextlib.suppress(grpc.RpcError):
            for _ in self._call:
                pass

    def close(self) -> None:
        self._requests.put(_END)  # lets gRPC's thread go that waits for a request
        self._call.cancel()


def bytes_of(message: Message) -> bytes:
    return message.SerializeToString()


def reader(operation: Operation[Any]) -> Callable[[bytes], Message]:
    return operation.answer_type.FromString

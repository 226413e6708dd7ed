"""A call that takes many requests and answers in its own time; both clients use it."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.message import Message

from icecore.client._address import Endpoint
from icecore.client._operations.conversation import Conversation
from icecore.client._stream import bytes_of
from icecore.client._translation import border


class Upload:
    """One call; its requests are made, and files read, in gRPC's thread as they are sent."""

    def __init__(
        self,
        channel: grpc.Channel,
        endpoint: Endpoint,
        conversation: Conversation[Any],
        timeout_s: float | None,
    ) -> None:
        self._path, self._endpoint = conversation.path, endpoint
        self._failure: Exception | None = None
        self._begun = threading.Event()
        begin = channel.stream_stream(self._path, bytes_of, conversation.answer_type.FromString)
        with border(self._path, endpoint):
            self._call = begin(
                self._guarded(conversation.requests()),
                timeout=timeout_s,
                metadata=endpoint.metadata,
            )
        self._begun.set()

    def next(self) -> Message | None:
        """Wait for an answer and return it; None at the end.

        Raises:
            IcecoreError: the call failed.
            Exception: what making a request raised, such as OSError.
        """
        try:
            with border(self._path, self._endpoint):
                for answer in self._call:
                    return answer
        except Exception:
            if self._failure is not None:
                raise self._failure from None
            raise
        return None

    def close(self) -> None:
        """End the call, also in the middle. Idempotent."""
        self._call.cancel()

    def _guarded(self, requests: Iterator[Message]) -> Iterator[Message]:
        try:
            yield from requests
        except Exception as error:
            # A stream that simply ended here would look complete to the server.
            self._failure = error
            self._begun.wait()
            self._call.cancel()

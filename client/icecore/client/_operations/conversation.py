"""The value Conversation: many requests, one after another, to one call, and its answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from icecore.client._operations.operation import Operation
from icecore.client.errors import Internal

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Conversation(Generic[A]):
    """`requests` begins anew at each call, so that a broken connection can be made good.

    It may read files, and what that raises reaches the caller.
    """

    service: str
    method: str
    requests: Callable[[], Iterator[Message]]
    answer_type: type[Message]
    parse: Callable[[Any], A]

    @property
    def path(self) -> str:
        return f"/icecore.v1.{self.service}/{self.method}"

    def read(self, answer: Message) -> A:
        """Return an answer's value.

        Raises:
            Internal: the answer breaks the contract.
        """
        operation = Operation(self.service, self.method, answer, self.answer_type, self.parse)
        return operation.read(answer)


def unanswered(conversation: Conversation[Any]) -> Internal:
    """Return the error of a call that ended well without what it was to answer."""
    return Internal(f"the server's answer to {conversation.method} breaks the contract: none came")

"""The value Operation: a request, where it goes, and how its answer is read."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from icecore.client.errors import Internal, InvalidArgument
from icecore.wire.reasons import Reason

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Operation(Generic[A]):
    """One message to one method; `parse` makes the value of an answer."""

    service: str
    method: str
    request: Message
    answer_type: type[Message]
    parse: Callable[[Any], A]

    @property
    def path(self) -> str:
        return f"/icecore.v1.{self.service}/{self.method}"

    def read(self, answer: Message) -> A:
        """Return the answer's value.

        Raises:
            Internal: the answer breaks the contract.
        """
        try:
            return self.parse(answer)
        except (KeyError, ValueError) as error:
            raise Internal(
                f"the server's answer to {self.method} breaks the contract: {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class Page(Generic[A]):
    """Some of many; `next_token` is "" at the end."""

    items: list[A]
    next_token: str


def nothing(_: Message) -> None:
    """Parse an answer that says only that it is done."""


def request_id_or_new(request_id: str | None) -> str:
    """Return the caller's id, or a random one: a retry of this call is then the same call."""
    if request_id == "":
        raise InvalidArgument(
            "request_id is '', but an id has 1 to 128 characters; None makes one",
            reason=Reason.REQUEST_ID_INVALID,
        )
    return uuid.uuid4().hex if request_id is None else request_id


def time_of(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)

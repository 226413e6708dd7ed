"""What a request says, as checked values: ids, pages, mutations.

Each function gives a value or raises InvalidArgument with a sentence; none
looks at what is stored.
"""

import base64
import binascii
import hashlib
from typing import Final

from google.protobuf.message import Message

from icecore.server.errors import (
    InvalidArgument,
    NameInvalid,
    PageInvalid,
    RequestIdInvalid,
)
from icecore.server.rpc.calls import current_call
from icecore.server.storage.records import Mutation
from icecore.wire import names

MAX_REQUEST_ID_LENGTH: Final = 128
MAX_KEY_LABEL_LENGTH: Final = 256
MAX_VERSION: Final = 2**31 - 1
_FORMAT: Final = "1:"


def named(noun: str, text: str) -> str:
    """Return the id of a tenant, collection, probe or backbone.

    Raises:
        NameInvalid: it cannot be one.
    """
    try:
        return names.check_id(noun, text)
    except ValueError as error:
        raise NameInvalid(str(error)) from error


def example_id(text: str) -> str:
    """Raises NameInvalid."""
    return free_text("example's id", text, max_length=names.MAX_EXAMPLE_ID_LENGTH)


def label(text: str) -> str:
    """Return an example's label, which may be empty. Raises NameInvalid."""
    return free_text("label", text, max_length=names.MAX_LABEL_LENGTH, may_be_empty=True)


def free_text(noun: str, text: str, *, max_length: int, may_be_empty: bool = False) -> str:
    """Raises NameInvalid."""
    try:
        return names.check_text(noun, text, max_length=max_length, may_be_empty=may_be_empty)
    except ValueError as error:
        raise NameInvalid(str(error)) from error


def version(number: int) -> int:
    """Return the number of a version that must be named.

    Raises:
        InvalidArgument: 0, which elsewhere means the newest or the promoted one.
    """
    if not 1 <= number <= MAX_VERSION:
        raise InvalidArgument(f"the version is {number}, but versions count from 1")
    return number


def request_id(text: str) -> str:
    """Return the id of a request, which may be empty.

    Raises:
        RequestIdInvalid: too long, or not printable ASCII.
    """
    if len(text) > MAX_REQUEST_ID_LENGTH or not all("!" <= c <= "~" for c in text):
        raise RequestIdInvalid(
            f"the request_id {text[:40]!r} is not 1 to {MAX_REQUEST_ID_LENGTH} "
            "printable ASCII characters without spaces"
        )
    return text


def mutation(asked: str, request: Message, content: str = "") -> Mutation | None:
    """Return what makes the request with the id `asked` exactly-once; None without an id.

    The fingerprint is over the whole request, so that the same id with another
    request is refused; `content` is the digest of what came beside it.

    Raises:
        RequestIdInvalid: as `request_id`.
    """
    if not request_id(asked):
        return None
    whole = hashlib.sha256(request.SerializeToString(deterministic=True))
    if content:
        whole.update(b"\0" + content.encode())
    return Mutation(asked, current_call().method, whole.hexdigest())


def page_size(number: int, *, default: int, most: int) -> int:
    """Return how many are wanted; 0 means the default.

    Raises:
        PageInvalid: more than the most.
    """
    if number > most:
        raise PageInvalid(f"page_size is {number:,}, but {most:,} is the most")
    return number or default


def page_start(token: str) -> str:
    """Return the id that the page comes after; "" from the first.

    Raises:
        PageInvalid: not a token of ours.
    """
    if not token:
        return ""
    try:
        if len(token) > 4 * names.MAX_EXAMPLE_ID_LENGTH * 2:
            raise ValueError
        text = base64.urlsafe_b64decode(token.encode("ascii")).decode("utf-8")
        if not text.startswith(_FORMAT) or page_token(text.removeprefix(_FORMAT)) != token:
            raise ValueError
    except (ValueError, binascii.Error) as error:
        raise PageInvalid(
            f"page_token {token[:40]!r} is not one that this server gave: send back "
            "next_page_token as it came, or leave it empty"
        ) from error
    return text.removeprefix(_FORMAT)


def page_token(last_id: str) -> str:
    """Return the token of the page that comes after this id."""
    return base64.urlsafe_b64encode((_FORMAT + last_id).encode("utf-8")).decode("ascii")

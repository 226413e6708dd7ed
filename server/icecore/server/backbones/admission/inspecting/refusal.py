"""What the server is told when a file is refused: a reason of ours and one plain sentence."""

import re
from collections.abc import Mapping
from typing import Final

from icecore.server.errors import (
    GraphInvalid,
    GraphTooCostly,
    GraphTooLarge,
    IcecoreError,
    RecipeInvalid,
)

REFUSALS: Final[Mapping[str, type[IcecoreError]]] = {
    str(kind.reason): kind for kind in (GraphInvalid, GraphTooLarge, GraphTooCostly, RecipeInvalid)
}
"""The only errors that the inspector may answer with, by reason."""

MAX_LENGTH: Final = 290
"""Characters of a sentence; libraries' own can have thousands."""

_MEMORY: Final = re.compile(r"bad_alloc|allocate memory|out of memory|bad array new length", re.I)
_RUNTIME: Final = "[ONNXRuntimeError]"
_CODE: Final = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ?")
_FAILED_AT: Final = re.compile(
    r"Non-zero status code returned while running (\w+) node\. Name:'([^']*)' Status Message:?"
)
_SIGNATURE: Final = re.compile(r"\S*::\S*(?:\([^()]*(?:\)|$))?(?: const\b)?")
_PARAMETERS: Final = re.compile(r"\([^()]*::[^()]*(?:\)|$)")
_KEYWORDS: Final = re.compile(r"\b(?:virtual|static|void)\b")
_SOURCE: Final = re.compile(
    r"\S*\.(?:cc|cpp|cxx|h|hpp|inc|py|so)\b:\d+:?(?: [A-Z]\w+\b(?= [A-Z]))?"
)


def refusal_of(error: BaseException, *, memory_bytes: int) -> IcecoreError:
    """Return what the caller is told when looking at a file ended with any error."""
    if isinstance(error, MemoryError) or _MEMORY.search(str(error)):
        return too_much_memory(memory_bytes)
    if isinstance(error, IcecoreError):
        kind = REFUSALS.get(str(error.reason), GraphInvalid)
        return kind(one_sentence(error.message), **error.details)
    if isinstance(error, RecursionError):
        return GraphInvalid("the graph cannot be read: it is nested too deep")
    return GraphInvalid(
        one_sentence(f"the graph cannot be read: {str(error) or type(error).__name__}")
    )


def too_much_memory(memory_bytes: int) -> GraphTooCostly:
    """Return what is said when loading or running a file passes the limit of memory."""
    return GraphTooCostly(
        f"loading and running the graph takes more than the {memory_bytes >> 20:,} MiB of memory "
        "that a file of its size may take"
    )


def plain(text: str) -> str:
    """The text without what libraries tell of their own sources."""
    before, marker, after = " ".join(text.split()).partition(_RUNTIME)
    if marker:
        after = _FAILED_AT.sub(r"\1 \2:", _CODE.sub("", marker + after))
        for noise in (_SIGNATURE, _PARAMETERS, _KEYWORDS):
            after = noise.sub("", after)
    return " ".join(_SOURCE.sub("", before + after).split()).strip(" :")


def one_sentence(text: str) -> str:
    """The text on one printable line of bounded length."""
    line = "".join(c if c.isprintable() else "?" for c in plain(text))
    return line if len(line) <= MAX_LENGTH else line[: MAX_LENGTH - 1] + "…"

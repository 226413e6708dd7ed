"""The words of a filter: text to tokens, each with the place where it stands."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from icecore.server.errors import FilterInvalid

MAX_FILTER_LENGTH: Final = 8_192

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<sign><=|>=|!=|=|<|>|:|\(|\))
      | (?P<dot>(?<=[a-z])\.)
      | (?P<number>[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![\w./-]))
      | (?P<word>[^\s"'()<>=!:.]+)
    )""",
    re.VERBOSE | re.DOTALL,
)


class Kind(Enum):
    TEXT = "text"
    SIGN = "sign"
    DOT = "dot"
    NUMBER = "number"
    WORD = "word"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` without quotes; `at` counts characters from 1."""

    kind: Kind
    text: str
    at: int

    def __str__(self) -> str:
        return "its end" if self.kind is Kind.END else repr(self.text[:40])


def read_tokens(text: str) -> Sequence[Token]:
    """Return the tokens, closed by one of kind END.

    Raises:
        FilterInvalid: too long, or a character that begins no token.
    """
    if len(text) > MAX_FILTER_LENGTH:
        raise FilterInvalid(
            f"the filter has {len(text):,} characters, but {MAX_FILTER_LENGTH:,} are the most"
        )
    tokens: list[Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise FilterInvalid(
                f"the filter has {text[at]!r} at character {at + 1}: {_hint(text[at])}"
            )
        kind = Kind(match.lastgroup)
        value = match[match.lastgroup]
        start = match.start(match.lastgroup) + 1
        if kind is Kind.TEXT:
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
        tokens.append(Token(kind, value, start))
        at = match.end()
    tokens.append(Token(Kind.END, "", len(text) + 1))
    return tokens


def _hint(character: str) -> str:
    if character in "\"'":
        return "this quote is not closed"
    return "unequal is written !=" if character == "!" else "this begins no key and no value"

"""Filters over examples: `label = "ant" AND metadata.year >= 2020`.

    filter     = "" | any
    any        = all  | all "OR" all ...
    all        = one  | one "AND" one ...
    one        = "NOT" one | "(" any ")" | comparison
    comparison = key ("=" | "!=" | "<" | "<=" | ">" | ">=") value | key ":" "*"
    key        = "id" | "label" | "metadata" "." KEY
    value      = "text" | 'text' | number | true | false | word

A small part of AIP-160, with three things settled. AND and OR may be mixed
only with parentheses, since AIP-160 and SQL read such a mixture differently.
Values compare with their own type: the text "3" is not the number 3, and never
less or greater than it. On an example without the key every comparison is
false, `!=` too; `metadata.KEY:*` asks for the key, and NOT turns an answer round.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from icecore.server.errors import FilterInvalid
from icecore.server.search.filter_words import Kind, Token, read_tokens
from icecore.server.storage.records import ExampleRecord, Scalar

MAX_DEPTH: Final = 64

Test: TypeAlias = Callable[[ExampleRecord], bool]

_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read; the empty one takes every example."""

    text: str
    test: Test

    @property
    def is_empty(self) -> bool:
        return not self.text

    def matches(self, example: ExampleRecord) -> bool:
        return self.test(example)


def read_filter(text: str) -> Filter:
    """Return the filter that the text says.

    Raises:
        FilterInvalid: it says none; the sentence names the character and what could stand there.
    """
    text = text.strip()
    if not text:
        return Filter("", lambda _: True)
    return Filter(text, _Reader(text).read())


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self._tokens = read_tokens(text)
        self._next = 0

    def read(self) -> Test:
        test = self._any(0)
        if self._here().kind is not Kind.END:
            raise self._surprise("AND, OR or the end")
        return test

    def _here(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._here()
        self._next += 1
        return token

    def _is_word(self, word: str) -> bool:
        return self._here().kind is Kind.WORD and self._here().text == word

    def _is_sign(self, sign: str) -> bool:
        return self._here().kind is Kind.SIGN and self._here().text == sign

    def _surprise(self, wanted: str) -> FilterInvalid:
        here = self._here()
        return FilterInvalid(f"the filter has {here} at character {here.at}, but wants {wanted}")

    def _any(self, depth: int) -> Test:
        if depth > MAX_DEPTH:
            raise FilterInvalid(
                f"the filter nests deeper than {MAX_DEPTH} at character {self._here().at}"
            )
        tests = [self._one(depth)]
        joint = self._here().text if self._is_word("AND") or self._is_word("OR") else ""
        while self._is_word("AND") or self._is_word("OR"):
            if self._here().text != joint:
                raise FilterInvalid(
                    f"the filter mixes AND and OR at character {self._here().at}: "
                    "write parentheses, such as (a OR b) AND c"
                )
            self._take()
            tests.append(self._one(depth))
        if len(tests) == 1:
            return tests[0]
        if joint == "AND":
            return lambda example: all(test(example) for test in tests)
        return lambda example: any(test(example) for test in tests)

    def _one(self, depth: int) -> Test:
        n_nots = 0
        while self._is_word("NOT"):
            self._take()
            n_nots += 1
        if self._is_sign("("):
            self._take()
            test = self._any(depth + 1)
            if not self._is_sign(")"):
                raise self._surprise("AND, OR or ')'")
            self._take()
        else:
            test = self._comparison()
        if n_nots % 2:
            return lambda example: not test(example)
        return test

    def _comparison(self) -> Test:
        get = self._key()
        if self._is_sign(":"):
            self._take()
            if not (self._here().kind is Kind.WORD and self._here().text == "*"):
                raise self._surprise("'*'")
            self._take()
            return lambda example: get(example) is not None
        if self._here().kind is not Kind.SIGN or self._here().text in "()":
            raise self._surprise("one of = != < <= > >=")
        sign = self._take()
        value = self._value()
        if sign.text in ("=", "!="):
            return _equal(get, value, is_equal=sign.text == "=")
        if isinstance(value, bool):
            raise FilterInvalid(
                f"the filter orders by {str(value).lower()} at character {sign.at}, "
                "but true and false have no order: write = or !="
            )
        return _ordered(get, value, _ORDERS[sign.text])

    def _key(self) -> Callable[[ExampleRecord], Scalar | None]:
        wanted = "id, label or metadata.KEY"
        if self._here().kind is not Kind.WORD or self._here().text in ("AND", "OR"):
            raise self._surprise(wanted)
        if self._here().text not in ("id", "label", "metadata"):
            raise self._surprise(wanted)
        noun = self._take().text
        if noun == "id":
            return lambda example: example.example_id
        if noun == "label":
            return lambda example: example.label
        if self._here().kind is not Kind.DOT:
            raise self._surprise("'.' and a key of the metadata")
        self._take()
        if self._here().kind not in (Kind.WORD, Kind.TEXT, Kind.NUMBER):
            raise self._surprise("a key of the metadata (in quotes if it is no plain word)")
        key = self._take().text
        return lambda example: example.metadata.get(key)

    def _value(self) -> Scalar:
        token = self._here()
        if token.kind is Kind.TEXT:
            return self._take().text
        if token.kind is Kind.NUMBER:
            number = float(self._take().text)
            if not math.isfinite(number):
                raise FilterInvalid(
                    f"the filter has the number {token.text[:40]!r} at character {token.at}, "
                    "which is too large"
                )
            return number
        if token.kind is Kind.WORD and token.text not in ("AND", "OR", "NOT"):
            self._take()
            return {"true": True, "false": False}.get(token.text, token.text)
        raise self._surprise('a value ("text", a number, true or false)')


def _kind_of(value: Scalar) -> type:
    return type(value) if isinstance(value, bool | str) else float


def _equal(get: Callable[[ExampleRecord], Scalar | None], value: Scalar, *, is_equal: bool) -> Test:
    kind = _kind_of(value)

    def test(example: ExampleRecord) -> bool:
        found = get(example)
        if found is None:
            return False
        return (_kind_of(found) is kind and found == value) is is_equal

    return test


def _ordered(
    get: Callable[[ExampleRecord], Scalar | None],
    value: Scalar,
    order: Callable[[Any, Any], bool],
) -> Test:
    kind = _kind_of(value)

    def test(example: ExampleRecord) -> bool:
        found = get(example)
        return found is not None and _kind_of(found) is kind and bool(order(found, value))

    return test

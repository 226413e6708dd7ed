"""What commands print: results to standard output, everything said beside to standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

ENDLESS = 100_000
"""Width of what is not a terminal: lines are never broken for a program."""


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column; numbers stand to the right."""

    title: str
    is_number: bool = False


class PipeConsole(Console):
    """A console that leaves closed pipes to the door."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console_of(stream: IO[str]) -> PipeConsole:
    """Return a console that colours and fits only where a person looks at it."""
    is_terminal = stream.isatty()
    return PipeConsole(
        file=stream,
        width=None if is_terminal else ENDLESS,
        force_terminal=is_terminal,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not is_terminal,
    )


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[object]], *, marked: int | None = None
) -> None:
    """Print rows below their titles; the one at `marked` stands out on a terminal."""
    is_terminal = sys.stdout.isatty()
    table = Table(
        box=box.SIMPLE_HEAD if is_terminal else None,
        pad_edge=is_terminal,
        header_style="bold",
        show_edge=False,
    )
    for column in columns:
        table.add_column(
            Text(column.title),
            justify="right" if column.is_number else "left",
            no_wrap=not is_terminal,
            overflow="fold",
        )
    for place, row in enumerate(rows):
        table.add_row(
            *(Text(printable(cell)) for cell in row),
            style="bold green" if place == marked else None,
        )
    console = console_of(sys.stdout)
    if is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print_line(line.rstrip())


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    # ASCII, so that names which are not UTF-8 come out as they went in.
    print_line(json.dumps(value, allow_nan=False))


def print_line(text: str = "") -> None:
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Say something beside the result."""
    sys.stdout.flush()  # in order, where both go to one place
    sys.stderr.write(one_line(text) + "\n")


def printable(value: object) -> str:
    """Return text without what would move a terminal's cursor."""
    text = str(value)
    return text if text.isprintable() else "".join(_shown(character) for character in text)


def one_line(text: str) -> str:
    """Return text on one line, whatever was in it."""
    return printable(" ".join(text.split()))


def _shown(character: str) -> str:
    # Half of a surrogate pair is a byte of a file's name that is not UTF-8.
    is_kept = character.isprintable() or "\udc80" <= character <= "\udcff"
    return character if is_kept else character.encode("unicode_escape").decode()

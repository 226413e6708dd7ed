"""What commands print: results to standard output, everything said beside to standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console
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
    """Print rows below their titles; the one at `marked` stands out on a terminal.

    Cells are never broken or cut, so that what is shown can be copied; a terminal
    that is too narrow wraps the line itself.
    """
    titles = [column.title for column in columns]
    lines = [titles, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    console = console_of(sys.stdout)
    for place, cells in enumerate(lines):
        text = "  ".join(
            " " * (width - cell_len(cell)) + cell
            if column.is_number
            else cell + " " * (width - cell_len(cell))
            for column, width, cell in zip(columns, widths, cells, strict=True)
        ).rstrip()
        if not console.is_terminal:
            print_line(text)
            continue
        style = "bold" if place == 0 else "bold green" if place - 1 == marked else ""
        console.print(Text(text, style=style), soft_wrap=True)


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

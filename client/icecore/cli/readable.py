"""Which files are images that the server can read, found out before anything is sent.

The server is the judge of what it takes; this spares a half-done job. Whole
files are decoded, so that a truncated one is found too.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from icecore.cli.mistakes import Mistake
from icecore.cli.output import note
from icecore.cli.progress import working

FORMATS = ("JPEG", "PNG", "WEBP")

MAX_DECODED_PIXELS = 64_000_000
"""Larger ones are left to the server, which has limits of its own."""

NAMED = 10
"""More bad files than these are counted, not named."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that is left out, and why."""

    path: Path
    why: str


def split_readable(
    things: Sequence[T], path_of: Callable[[T], Path]
) -> tuple[list[T], list[Unreadable]]:
    """Return things whose files are images, in order, and the files that are none."""
    good: list[T] = []
    bad: list[Unreadable] = []
    if not things:
        return good, bad
    with working("reading files", len(things), unit="images", is_aside=True) as work:
        for thing, why in zip(things, _faults([path_of(one) for one in things]), strict=True):
            if why is None:
                good.append(thing)
            else:
                bad.append(Unreadable(path_of(thing), why))
            work.advance()
    return good, bad


def require_readable(
    things: Sequence[T], path_of: Callable[[T], Path], *, skip_bad: bool
) -> list[T]:
    """Return the things whose files are images: all of them, or those left by `skip_bad`.

    Raises:
        Mistake: some are none; the sentence names them. With `skip_bad`: all of them.
    """
    good, bad = split_readable(things, path_of)
    if bad and not skip_bad:
        raise refusal(bad)
    if bad and not good:
        raise Mistake(sentence(bad))
    report_skipped(bad)
    return good


def refusal(bad: Sequence[Unreadable]) -> Mistake:
    """Return the mistake of files that cannot be read, and its way out."""
    return Mistake(f"{sentence(bad)}; --skip-bad leaves {'it' if len(bad) == 1 else 'them'} out")


def report_skipped(bad: Sequence[Unreadable]) -> None:
    """Say which files are left out."""
    if bad:
        note(f"left out: {sentence(bad)}")


def sentence(bad: Sequence[Unreadable]) -> str:
    """Return "2 files cannot be read: 'a' (why), 'b' (why)"."""
    names = ", ".join(f"{str(one.path)!r} ({one.why})" for one in bad[:NAMED])
    more = f" and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
    what = "1 file" if len(bad) == 1 else f"{len(bad):,} files"
    return f"{what} cannot be read: {names}{more}"


def fault(path: Path) -> str | None:
    """Return why a file is no image that the server reads; None if it is one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes and odd metadata: the server's matter
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height <= MAX_DECODED_PIXELS:
                    image.draft("RGB", (1, 1))  # a JPEG is read whole, but scaled down
                    image.load()
    except UnidentifiedImageError:
        return "no JPEG, PNG or WebP" if path.stat().st_size else "empty"
    except Image.DecompressionBombError:
        return "too many pixels"
    except OSError as error:
        why = reason(error)
        return "truncated" if "truncated" in why else why
    except (SyntaxError, ValueError) as error:
        return f"broken: {error}"  # as Pillow calls a PNG whose chunks are out of order
    return None


def reason(error: OSError) -> str:
    """Return such as "no such file or directory"."""
    return (error.strerror or str(error)).lower()


def _faults(paths: Sequence[Path]) -> Iterator[str | None]:
    threads = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(threads, thread_name_prefix="reading") as pool:
        yield from pool.map(fault, paths)

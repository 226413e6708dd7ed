"""How far long work is: a bar on a terminal, a plain line now and then elsewhere.

Both go to standard error, so that results can be piped.
"""

import os
import sys
import time
from types import TracebackType
from typing import IO, Protocol, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bar

from icecore.cli.bar_columns import About, Left, Rate
from icecore.cli.output import console_of, one_line
from icecore.cli.pace import Pace, roughly
from icecore.cli.waits import Said, under_way

LINE_EVERY_S = 5.0
"""Plain lines come at most so often, besides the last."""

SHORT_S = 2.0
"""Shorter work has no plain line at all: its result follows at once."""


class Work(Protocol):
    """Long work, told of what is done."""

    def advance(self, steps: float = 1.0) -> None: ...

    def reach(self, done: float, stage: str = "") -> None: ...

    def pause(self, why: str) -> None: ...

    def remark(self, text: str) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def working(
    title: str,
    total: float,
    *,
    unit: str = "",
    done: float = 0.0,
    is_aside: bool = False,
    stream: IO[str] | None = None,
) -> Work:
    """Return work of `total` steps, called `unit`; without a unit it is shown in percent.

    The time left is shown once it can be told, with a unit the rate too, by what was done since
    it began, which `done` steps were before. Work that is only aside leaves no bar
    behind, and no line unless it takes very long.
    """
    sys.stdout.flush()  # in order, where both go to one place
    stream = sys.stderr if stream is None else stream
    is_screen = stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    kind = _BarWork if is_screen else _LineWork
    unit = unit.removesuffix("s") if total == 1 else unit
    return kind(one_line(title), total, unit, done, is_aside, stream)


class _BarWork:
    def __init__(
        self, title: str, total: float, unit: str, done: float, is_aside: bool, stream: IO[str]
    ) -> None:
        self._title, self._total = title, total
        self._beside, self._pace = Said(), Pace()
        columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False)]
        columns += [BarColumn(bar_width=32)]
        if unit:
            columns += [MofNCompleteColumn(), TextColumn(unit, markup=False), Rate(unit)]
            columns += [Left(elapsed_when_finished=True)]
        else:
            columns += [TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn()]
            columns += [About(self._pace)]
        self._bar = Bar(*columns, console=console_of(stream), transient=is_aside)
        self._task = self._bar.add_task(self._title, total=total)
        self._bar.update(self._task, completed=done)

    def advance(self, steps: float = 1.0) -> None:
        self._beside.ends_pause()
        self._bar.update(self._task, advance=steps, description=self._title, paused=False)

    def reach(self, done: float, stage: str = "") -> None:
        title = f"{self._title}: {one_line(stage)}" if stage else self._title
        self._beside.ends_pause()
        if self._total:
            self._pace.reach(done / self._total, time.monotonic())
        self._bar.update(self._task, completed=done, description=title, paused=False)

    def pause(self, why: str) -> None:
        if self._beside.begins_pause():
            self._say(why)
            self._bar.update(self._task, description=f"{self._title}: waiting", paused=True)

    def remark(self, text: str) -> None:
        if self._beside.is_new(text):
            self._say(text)

    def _say(self, text: str) -> None:
        self._bar.console.print(one_line(f"{self._title}: {text}"), soft_wrap=True)

    def __enter__(self) -> Self:
        under_way.append(self)
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        under_way.remove(self)
        if error is None:
            self._bar.update(
                self._task, completed=self._bar.tasks[0].total, description=self._title
            )
        self._bar.stop()


class _LineWork:
    def __init__(
        self, title: str, total: float, unit: str, done: float, is_aside: bool, stream: IO[str]
    ) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._is_aside, self._has_spoken = is_aside, False
        self._stream = stream
        self._beside, self._pace = Said(), Pace()
        self._before = self._done = done
        self._stage = ""
        self._start = self._said = time.monotonic()

    def advance(self, steps: float = 1.0) -> None:
        self.reach(self._done + steps)

    def reach(self, done: float, stage: str = "") -> None:
        self._done, self._stage = done, one_line(stage)
        self._beside.ends_pause()
        if self._total:
            self._pace.reach(done / self._total, time.monotonic())
        if time.monotonic() - self._said >= LINE_EVERY_S:
            self._said, self._has_spoken = time.monotonic(), True
            self._say(f"{self._title}: {self._amount()}")

    def pause(self, why: str) -> None:
        if self._beside.begins_pause():
            self._say(one_line(f"{self._title}: {self._share()}; {why}"))

    def remark(self, text: str) -> None:
        if self._beside.is_new(text):
            self._say(one_line(f"{self._title}: {text}"))

    def __enter__(self) -> Self:
        under_way.append(self)
        self._start = self._said = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        under_way.remove(self)
        seconds = time.monotonic() - self._start
        is_long = seconds >= SHORT_S and not self._is_aside
        if error is None and (is_long or self._has_spoken):
            what = f"{self._total - self._before:,.0f} {self._unit} " if self._unit else "done "
            rate = f", {self._rate():,.0f} {self._unit}/s" if self._unit and is_long else ""
            self._say(f"{self._title}: {what}in {seconds:.1f} s{rate}")

    def _amount(self) -> str:
        said, rate = self._share(), self._rate()
        if not self._unit:
            about = self._pace.left_s(time.monotonic())
            return said if about is None else f"{said}, {roughly(about)}"
        if not rate:
            return said
        left = in_words((self._total - self._done) / rate)
        return f"{said}, {rate:,.0f} {self._unit}/s, {left} left"

    def _share(self) -> str:
        """Such as "60 of 100 images (60%)"."""
        share = f"{self._done / self._total:.0%}" if self._total else "done"
        if not self._unit:
            return f"{share} ({self._stage})" if self._stage else share
        return f"{self._done:,.0f} of {self._total:,.0f} {self._unit} ({share})"

    def _rate(self) -> float:
        """Steps a second since it began."""
        return (self._done - self._before) / max(1e-9, time.monotonic() - self._start)

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def in_words(seconds: float) -> str:
    """Return such as "40 s", "3 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

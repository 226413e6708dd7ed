"""What a bar on a terminal shows beside itself: the rate, and the time left."""

import time

from rich.progress import ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from icecore.cli.pace import Pace, roughly


class Rate(ProgressColumn):
    """Such as "120 images/s"."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        if task.fields.get("paused"):
            return Text("")
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.0f} {self._unit}/s")


class Left(TimeRemainingColumn):
    """The time left, which nobody knows while the server is away."""

    max_refresh = 0.0  # rich would show what was true half a second ago

    def render(self, task: Task) -> Text:
        return Text("") if task.fields.get("paused") else super().render(task)


class About(ProgressColumn):
    """Such as "about 40 s left", of work that has no steps to count."""

    max_refresh = 0.0

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        left = None if task.finished else self._pace.left_s(time.monotonic())
        return Text("" if left is None or task.fields.get("paused") else roughly(left))

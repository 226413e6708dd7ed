"""Prometheus counters and histograms whose number of series has an end.

Finding the child of some labels costs prometheus_client more than counting does, so
children are kept; beyond a bound all further ones are counted together as OTHER.
"""

from typing import Final, Generic, TypeVar

from prometheus_client import Counter, Histogram

OTHER: Final = "(other)"

SECONDS: Final = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
    *(0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
)
"""Upper bounds of the buckets of every histogram of times, so that any two can be added."""

MOST_COUNTS: Final = 3000
MOST_TIMES: Final = 300
"""Label sets of a counter and of a histogram, which writes a line a bucket for each. A page
with four full histograms takes 0.17 CPU-seconds to write, every time it is read."""

Kind = TypeVar("Kind", Counter, Histogram)


class Series(Generic[Kind]):
    """The children of one metric by the values of their labels."""

    def __init__(self, metric: Kind, n_labels: int, *, most: int) -> None:
        self._metric: Kind = metric
        self._others = (OTHER,) * n_labels
        self._most = most
        self._kept: dict[tuple[str, ...], Kind] = {}

    def of(self, *values: str) -> Kind:
        """Return the child of these labels, or the one of all that came too late.

        Two threads that ask for a new one at once get the same: prometheus_client sees to it.
        """
        kept = self._kept.get(values)
        if kept is not None:
            return kept
        shown = values if len(self._kept) < self._most else self._others
        child: Kind = self._metric.labels(*shown)
        if shown is values:
            self._kept[values] = child
        return child

"""What a server shows of its process: build, CPU, memory, files, and its ended children's CPU."""

import platform
import resource
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


def show_process(registry: CollectorRegistry, prefix: str, versions: Mapping[str, str]) -> None:
    """Add `process_...`, as every exporter names them, and two of ours.

    Args:
        versions: of what the server is built from, such as {"version": "0.1.0"}.
    """
    ProcessCollector(registry=registry)
    registry.register(_Build(prefix, versions))


class _Build(Collector):
    def __init__(self, prefix: str, versions: Mapping[str, str]) -> None:
        self._prefix = prefix
        self._versions = {**versions, "python": platform.python_version()}

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            f"{self._prefix}build_info", "What serves; always 1.", labels=list(self._versions)
        )
        build.add_metric(list(self._versions.values()), 1)
        yield build
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        yield CounterMetricFamily(
            f"{self._prefix}children_cpu_seconds",
            "CPU seconds of child processes that have ended: training, admission.",
            value=used.ru_utime + used.ru_stime,
        )

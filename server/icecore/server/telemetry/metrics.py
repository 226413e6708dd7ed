"""Counts and times of a server for Prometheus, in a registry of their own.

Names, labels and units are a promise to dashboards (docs/OPERATIONS.md). Labels are
words of ours, backbones and layers that exist and, if wanted, tenants: nothing that a
caller makes up. May be called from any thread; counting never raises and never waits
for more than another count.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Literal, TypeAlias, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from icecore.server.telemetry.process import show_process
from icecore.server.telemetry.series import MOST_COUNTS, MOST_TIMES, SECONDS, Series
from icecore.server.telemetry.stages import Embedding, current

PREFIX: Final = "icecore_"

CacheOutcome: TypeAlias = Literal["hit", "miss", "shared", "unkept"]
"""Found; run and kept; run once for several that came together; run and not kept."""

LeftBy: TypeAlias = Literal["expired", "cancelled"]

T = TypeVar("T")


class Metrics:
    """All counts of one server; each server, and each test, makes one of its own.

    Args:
        by_tenant: label calls, images, waiting, total times and rejections with the
            tenant. Off unless wanted, since every tenant multiplies the series.
    """

    def __init__(self, *, by_tenant: bool = False) -> None:
        self._by_tenant = by_tenant
        self._registry = CollectorRegistry(auto_describe=False)
        self._gauges = _Gauges()
        self._registry.register(self._gauges)
        tenant = ("tenant",) if by_tenant else ()
        place = ("backbone", "layer")
        count, times = self._counter, self._histogram
        self._received = count("received_bytes", "Bytes of messages taken.", "method")
        self._sent = count("sent_bytes", "Bytes of messages answered.", "method")
        self._calls = count("calls", "Calls that ended.", "method", "status", *tenant)
        self._call_s = times("call_seconds", "Time of a call at the door.", "method")
        self._images = count("images", "Images whose codes were answered.", *place, *tenant)
        self._total_s = times("embed_seconds", "All of an embedding.", *place, *tenant)
        self._queue_s = times("embed_queue_seconds", "Its waiting for a turn.", *place, *tenant)
        self._decode_s = times("embed_decode_seconds", "Its decoding and resizing.", *place)
        self._compute_s = times("embed_compute_seconds", "Its passes of the network.", *place)
        self._passes = count("passes", "Passes of a network.", *place)
        self._pass_images = count("pass_images", "Images in those passes.", *place)
        self._pass_cpu_s = count("pass_cpu_seconds", "CPU seconds of those passes.", *place)
        self._cache = count("cache_images", "Images looked up in the code cache.", "outcome")
        self._rejections = count("rejections", "Calls turned away.", "reason", *tenant)
        self._rejected = count("rejected_images", "Images turned away.", "reason", *tenant)
        self._never_started = count("never_started", "Work given up in time.", "why")
        self._started_late = count("started_late", "Work started in vain; stays 0.", "why")
        for outcome in ("hit", "miss", "shared", "unkept"):
            self._cache.of(outcome)
        for why in ("expired", "cancelled"):
            self._never_started.of(why)
            self._started_late.of(why)

    def call_ended(self, method: str, status: str, tenant_id: str, seconds: float) -> None:
        """Count a call.

        Args:
            method: full name of a method that is served, such as "/icecore.v1.CodesService/Embed".
            status: name of its gRPC status, such as "OK".
            tenant_id: whose; "" where it is nobody's.
            seconds: from its first byte of ours to its status.
        """
        self._calls.of(method, status, *self._tenant(tenant_id)).inc()
        self._call_s.of(method).observe(seconds)

    def counting_received(self, method: str, read: Callable[[bytes], T]) -> Callable[[bytes], T]:
        """Return `read` that counts the bytes it is given, those it then refuses too."""
        bytes_of_method = self._received.of(method)

        def count_and_read(data: bytes) -> T:
            bytes_of_method.inc(len(data))
            return read(data)

        return count_and_read

    def counting_sent(self, method: str, write: Callable[[T], bytes]) -> Callable[[T], bytes]:
        """Return `write` that counts the bytes it makes."""
        bytes_of_method = self._sent.of(method)

        def write_and_count(message: T) -> bytes:
            data = write(message)
            bytes_of_method.inc(len(data))
            return data

        return write_and_count

    def images_done(
        self,
        *,
        backbone: str,
        layer: str,
        tenant_id: str,
        n_images: int,
        queue_s: float,
        decode_s: float,
        compute_s: float,
        total_s: float,
    ) -> None:
        """Count one embedding of `n_images` and its times in seconds of wall clock.

        `backbone` and `layer` are names that exist; `layer` is the deepest that was read.
        """
        tenant = self._tenant(tenant_id)
        self._images.of(backbone, layer, *tenant).inc(n_images)
        self._total_s.of(backbone, layer, *tenant).observe(total_s)
        self._queue_s.of(backbone, layer, *tenant).observe(queue_s)
        self._decode_s.of(backbone, layer).observe(decode_s)
        self._compute_s.of(backbone, layer).observe(compute_s)
        if (stages := current()) is not None:
            stages.add(Embedding(backbone, layer, n_images, queue_s, decode_s, compute_s, total_s))

    def pass_ended(self, *, backbone: str, layer: str, n_images: int, cpu_s: float) -> None:
        """Count one pass of a network cut at `layer`."""
        self._passes.of(backbone, layer).inc()
        self._pass_images.of(backbone, layer).inc(n_images)
        self._pass_cpu_s.of(backbone, layer).inc(cpu_s)

    def cache_looked_up(self, outcome: CacheOutcome, n_images: int) -> None:
        """Count images that were looked up in the code cache."""
        self._cache.of(outcome).inc(n_images)

    def rejected(self, reason: str, tenant_id: str, n_images: int) -> None:
        """Count images that were not taken in; `reason` is their error's, such as "OVERLOADED"."""
        self._rejected.of(reason, *self._tenant(tenant_id)).inc(n_images)

    def call_rejected(self, reason: str, tenant_id: str) -> None:
        """Count a call that ended with RESOURCE_EXHAUSTED, of images or not."""
        self._rejections.of(reason, *self._tenant(tenant_id)).inc()

    def never_started(self, why: LeftBy) -> None:
        """Count work that was given up before it was started."""
        self._never_started.of(why).inc()

    def started_late(self, why: LeftBy) -> None:
        """Count work that was started though nobody waited for it any more: a fault of ours."""
        self._started_late.of(why).inc()

    def gauge(self, name: str, help: str, read: Callable[[], float]) -> None:  # noqa: A002
        """Show what `read` returns whenever somebody looks; the last one of a name counts.

        Args:
            name: with its unit and without "icecore_", such as "waiting_images".
            help: one sentence.
            read: quick, and safe to call from another thread.
        """
        self._gauges.add(PREFIX + name.removeprefix(PREFIX), help, read)

    def show_process(self, **versions: str) -> None:
        """Show the process this runs in, and the versions of what it is built from."""
        show_process(self._registry, PREFIX, versions)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format, version 0.0.4."""
        return generate_latest(_Plain(self._registry))

    def _tenant(self, tenant_id: str) -> tuple[str, ...]:
        return (tenant_id,) if self._by_tenant else ()

    def _counter(self, name: str, text: str, *labels: str) -> Series[Counter]:
        metric = Counter(PREFIX + name, text, labels, registry=self._registry)
        return Series(metric, len(labels), most=MOST_COUNTS)

    def _histogram(self, name: str, text: str, *labels: str) -> Series[Histogram]:
        make = partial(Histogram, PREFIX + name, text, labels, buckets=SECONDS)
        return Series(make(registry=self._registry), len(labels), most=MOST_TIMES)


class _Gauges(Collector):
    """Values that are read when somebody looks."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[str, Callable[[], float]]] = {}

    def add(self, name: str, text: str, read: Callable[[], float]) -> None:
        self._read[name] = (text, read)

    def collect(self) -> Iterator[Metric]:
        for name, (text, read) in list(self._read.items()):
            yield GaugeMetricFamily(name, text, value=read())


class _Plain(CollectorRegistry):
    """What another registry holds without the time of birth of each series, which no one asks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._from = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._from.collect():
            metric.samples = [
                sample for sample in metric.samples if not sample.name.endswith("_created")
            ]
            yield metric

"""What is counted is what Prometheus reads, and there is an end to the number of series."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from icecore.server.telemetry import stages
from icecore.server.telemetry.metrics import Metrics
from icecore.server.telemetry.series import OTHER, SECONDS

STAGES = ("queue", "decode", "compute")


def samples(metrics: Metrics) -> Iterator[Sample]:
    for family in text_string_to_metric_families(metrics.text().decode()):
        yield from family.samples


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """The one sample of that name with at least these labels."""
    (found,) = [
        sample.value
        for sample in samples(metrics)
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found


def embed(
    metrics: Metrics,
    *,
    backbone: str = "b",
    layer: str = "l",
    tenant_id: str = "t",
    seconds: float = 0.01,
) -> None:
    metrics.images_done(
        backbone=backbone,
        layer=layer,
        tenant_id=tenant_id,
        n_images=3,
        queue_s=seconds,
        decode_s=seconds,
        compute_s=seconds,
        total_s=3 * seconds,
    )


def test_every_count_is_read_back_under_its_name() -> None:
    metrics = Metrics()
    metrics.call_ended("/s/M", "OK", "t", 0.5)
    metrics.call_ended("/s/M", "OK", "u", 0.5)
    embed(metrics)
    metrics.pass_ended(backbone="b", layer="l", n_images=2, cpu_s=0.25)
    metrics.pass_ended(backbone="b", layer="l", n_images=1, cpu_s=0.25)
    for outcome in ("hit", "miss", "shared", "unkept"):
        metrics.cache_looked_up(outcome, 7)
    metrics.rejected("OVERLOADED", "t", 5)
    metrics.call_rejected("MESSAGE_TOO_LARGE", "t")
    metrics.never_started("expired")
    metrics.started_late("cancelled")
    metrics.gauge("waiting_images", "Images that wait.", lambda: 4)
    counts = {
        (sample.name, *sample.labels.values()): sample.value
        for sample in samples(metrics)
        if not sample.name.endswith("_bucket")
    }
    place = ("b", "l")
    expected: dict[tuple[str, ...], float] = {
        ("icecore_waiting_images",): 4,
        ("icecore_calls_total", "/s/M", "OK"): 2,
        ("icecore_call_seconds_count", "/s/M"): 2,
        ("icecore_call_seconds_sum", "/s/M"): 1,
        ("icecore_images_total", *place): 3,
        ("icecore_embed_seconds_count", *place): 1,
        ("icecore_embed_seconds_sum", *place): 0.03,
        **{(f"icecore_embed_{stage}_seconds_count", *place): 1 for stage in STAGES},
        **{(f"icecore_embed_{stage}_seconds_sum", *place): 0.01 for stage in STAGES},
        ("icecore_passes_total", *place): 2,
        ("icecore_pass_images_total", *place): 3,
        ("icecore_pass_cpu_seconds_total", *place): 0.5,
        **{("icecore_cache_images_total", kind): 7 for kind in ("hit", "miss", "shared", "unkept")},
        ("icecore_rejections_total", "MESSAGE_TOO_LARGE"): 1,
        ("icecore_rejected_images_total", "OVERLOADED"): 5,
        ("icecore_never_started_total", "expired"): 1,
        ("icecore_never_started_total", "cancelled"): 0,
        ("icecore_started_late_total", "expired"): 0,
        ("icecore_started_late_total", "cancelled"): 1,
    }
    assert counts == expected


def test_times_fall_into_the_buckets_that_numpy_finds() -> None:
    seconds = np.random.default_rng(4).lognormal(-3, 2, 500)
    metrics = Metrics()
    for one in seconds:
        embed(metrics, seconds=float(one))
    bounds = [*SECONDS, np.inf]
    for name, times in (
        ("icecore_embed_queue_seconds", seconds),
        ("icecore_embed_seconds", 3 * seconds),
    ):
        read = {
            float(sample.labels["le"]): sample.value
            for sample in samples(metrics)
            if sample.name == f"{name}_bucket"
        }
        assert read == {bound: (times <= bound).sum() for bound in bounds}, name
        assert value(metrics, f"{name}_sum") == pytest.approx(times.sum())


def test_all_histograms_have_the_same_buckets() -> None:
    """So that stages and backbones can be added up."""
    metrics = Metrics(by_tenant=True)
    embed(metrics)
    metrics.call_ended("/s/M", "OK", "t", 1.0)
    bounds: dict[str, list[str]] = {}
    for sample in samples(metrics):
        if sample.name.endswith("_bucket"):
            bounds.setdefault(sample.name, []).append(sample.labels["le"])
    assert len(bounds) == 5
    assert len({tuple(found) for found in bounds.values()}) == 1


def test_tenants_are_told_apart_only_if_wanted() -> None:
    without, apart = Metrics(), Metrics(by_tenant=True)
    for metrics in (without, apart):
        for tenant in ("acme", "umbrella"):
            embed(metrics, tenant_id=tenant)
            metrics.call_ended("/s/M", "OK", tenant, 1.0)
            metrics.call_rejected("OVERLOADED", tenant)
    assert b"acme" not in without.text()
    assert value(without, "icecore_images_total") == 6
    assert value(apart, "icecore_images_total", tenant="acme") == 3
    assert value(apart, "icecore_embed_queue_seconds_count", tenant="umbrella") == 1
    assert value(apart, "icecore_rejections_total", tenant="umbrella") == 1
    assert value(apart, "icecore_calls_total", tenant="acme", status="OK") == 1


def test_the_number_of_series_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icecore.server.telemetry.metrics.MOST_COUNTS", 5)
    monkeypatch.setattr("icecore.server.telemetry.metrics.MOST_TIMES", 3)
    metrics = Metrics()
    for index in (*range(8), 0):
        metrics.call_rejected(f"R{index}", "t")
        embed(metrics, layer=f"l{index}")
    found = [sample for sample in samples(metrics) if sample.name == "icecore_rejections_total"]
    assert len(found) == 6
    assert sum(sample.value for sample in found) == 9, "some got lost"
    assert value(metrics, "icecore_rejections_total", reason=OTHER) == 3
    assert value(metrics, "icecore_rejections_total", reason="R0") == 2
    assert value(metrics, "icecore_embed_seconds_count", layer=OTHER) == 5
    assert value(metrics, "icecore_embed_seconds_count", layer="l0") == 2


def test_a_gauge_is_read_when_somebody_looks() -> None:
    metrics, values = Metrics(), iter((1.0, 2.0))
    metrics.gauge("waiting_images", "Images that wait.", lambda: next(values))
    assert value(metrics, "icecore_waiting_images") == 1
    assert value(metrics, "icecore_waiting_images") == 2
    metrics.gauge("waiting_images", "Of another queue.", lambda: 9.0)
    assert value(metrics, "icecore_waiting_images") == 9


def test_servers_do_not_share_counts() -> None:
    one, other = Metrics(), Metrics()
    one.never_started("expired")
    assert value(other, "icecore_never_started_total", why="expired") == 0
    assert not [family for family in REGISTRY.collect() if family.name.startswith("icecore")]


def test_no_count_is_lost_between_threads() -> None:
    metrics = Metrics()

    def work() -> None:
        for _ in range(200):
            metrics.pass_ended(backbone="b", layer="l", n_images=1, cpu_s=1.0)
            metrics.never_started("cancelled")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(metrics, "icecore_passes_total") == 1600
    assert value(metrics, "icecore_pass_cpu_seconds_total") == 1600
    assert value(metrics, "icecore_never_started_total", why="cancelled") == 1600


def test_bytes_are_counted_on_their_way_through() -> None:
    metrics = Metrics()
    read = metrics.counting_received("/s/M", bytes.decode)
    write = metrics.counting_sent("/s/M", str.encode)
    assert read(b"abc") == "abc"
    assert write("abcde") == b"abcde"
    assert value(metrics, "icecore_received_bytes_total", method="/s/M") == 3
    assert value(metrics, "icecore_sent_bytes_total", method="/s/M") == 5
    with pytest.raises(UnicodeDecodeError):
        read(b"\xff")
    assert value(metrics, "icecore_received_bytes_total") == 4, "what is refused has come, too"


def test_the_process_is_shown_as_every_exporter_names_it() -> None:
    metrics = Metrics()
    metrics.show_process(version="1.2.3")
    assert value(metrics, "process_cpu_seconds_total") > 0
    assert value(metrics, "process_resident_memory_bytes") > 1e6
    assert value(metrics, "icecore_build_info", version="1.2.3") == 1
    assert value(metrics, "icecore_children_cpu_seconds_total") >= 0


async def test_what_is_embedded_for_a_call_is_added_to_its_stages() -> None:
    metrics = Metrics()
    embed(metrics)  # outside of any call
    ours = stages.begin()
    for _ in range(stages.MOST_KEPT + 1):
        embed(metrics, seconds=0.5)
    assert ours.n_embeddings == stages.MOST_KEPT + 1
    assert ours.compute_s == pytest.approx(0.5 * ours.n_embeddings)
    assert len(ours.kept) == stages.MOST_KEPT
    ours.is_over = True
    embed(metrics)
    assert ours.n_embeddings == stages.MOST_KEPT + 1, "a call that ended embeds no more"

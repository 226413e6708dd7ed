"""What a page of metrics says, read by Prometheus' own parser."""

from prometheus_client.parser import text_string_to_metric_families

from icecore.server.telemetry.metrics import Metrics


def seen(metrics: Metrics, name: str, **labels: str) -> float:
    """Return the sum of the samples of that name that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )

"""An advice as one HTML file that a person can read who has never heard of probes."""

from icecore.cli.advice_report.writing import write

__all__ = ["write"]

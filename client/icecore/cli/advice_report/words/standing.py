"""What is settled and what is open: of each simpler way, whether the probe is shown to be better.

It says in plain words what the verdict's word stands for, and never contradicts it.
"""

from typing import Final

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.words import baselines
from icecore.client.advice_values import Advice, Baseline, VerdictKind

LABELS: Final = {
    VerdictKind.POSITIVE: "Shown to help",
    VerdictKind.NO_GAIN: "No gain worth its cost",
    VerdictKind.NEGATIVE: "Something simpler is better",
    VerdictKind.UNDECIDED: "Still open",
}
"""What the verdict's word comes to, for somebody who has never heard of probes."""

YES: Final = "yes"
NO: Final = "no"
OPEN: Final = "not sure yet"


def label(advice: Advice) -> str:
    """Return in a few words whether the network is shown to help."""
    return LABELS[advice.verdict.kind]


def answers(advice: Advice) -> str:
    """Return of each simpler way whether the probe is better; "" where none was tried.

    Ways with the same answer are told together, those that are beaten first.
    """
    found: dict[str, list[str]] = {}
    for one in advice.verdict.baselines:
        found.setdefault(answer(advice, one), []).append(baselines.told(one.name).phrase)
    told = sorted(found.items(), key=lambda entry: entry[0] != YES)
    return " ".join(f"Better than {figures.listed(ways)}: {said}." for said, ways in told)


def answer(advice: Advice, one: Baseline) -> str:
    """Return whether the probe is better than a simpler way, as the verdict sees it.

    Where that is against the probe for one way, it may be for others too; where it is open, bounds
    that each hold for one way alone settle nothing against the probe.
    """
    found = advice.verdict
    is_limiting = one.name == found.limiting
    if found.kind is VerdictKind.NEGATIVE and (is_limiting or one.high < 0.0):
        return NO
    is_against = found.kind in (VerdictKind.NEGATIVE, VerdictKind.NO_GAIN)
    if is_against and (is_limiting or one.high < found.margin):
        return f"not by {figures.points(found.margin)} or more"
    return YES if one.low > 0.0 else OPEN


def told(advice: Advice) -> str:
    """Return both in sentences."""
    return f"{label(advice)}. {answers(advice)}".strip()

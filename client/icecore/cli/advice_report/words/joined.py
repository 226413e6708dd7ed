"""Several layers read together: what they come to, and whether they are offered."""

from icecore.cli.advice_report import figures
from icecore.client.advice_values import Advice


def is_offered(advice: Advice) -> bool:
    """Return whether several layers together are shown to be better than the best one."""
    return advice.joined is not None and advice.joined.is_offered


def told(advice: Advice) -> str:
    """Return how they did beside the best one by itself; "" where there was one layer only."""
    found = advice.joined
    if found is None:
        return ""
    what = f"Read together, {figures.count(len(found.places), 'layer')}"
    if len(found.places) == 1:
        return f"{what}, the best one, did as well as several."
    difference = found.difference
    lead = figures.more_right(difference.estimate)
    spread = figures.from_to(difference.low, difference.high)
    start = f"{what} named {lead} than a single one, chosen"
    if difference.low > 0.0:
        return f"{start}, and with other images it could be {spread}: that is better."
    if difference.high < 0.0:
        return f"{start}, and with other images it could be {spread}: one is better."
    return (
        f"{start}, but with other images it could be {spread}: one is enough until more is known."
    )

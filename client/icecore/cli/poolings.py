"""The poolings that a training tried at its layer, as commands show them."""

from collections.abc import Sequence

from icecore.cli.jobs import percent
from icecore.cli.output import Column, one_line, print_line, print_table
from icecore.client import PoolingTrial, ProbeVersion


def print_poolings(version: ProbeVersion) -> None:
    """Print held-out accuracy a pooling, the chosen one marked; nothing where none was tried."""
    trials = version.pooling_trials
    if not trials or version.tap is None:
        return
    layer = one_line(version.tap.layer)
    if len(trials) == 1:
        print_line(f"{layer} is no map, so that there is no pooling to choose")
        return
    print_line(f"poolings tried at {layer}, once it was chosen:")
    rows = [
        (
            str(trial.pooling),
            *percent(trial.accuracy),
            f"{trial.C:g}",
            "<- chosen" if trial.is_chosen else "",
        )
        for trial in trials
    ]
    columns = [
        Column("pooling"),
        Column("held-out accuracy", is_number=True),
        Column("95 % interval", is_number=True),
        Column("C", is_number=True),
        Column(""),
    ]
    chosen = next((place for place, trial in enumerate(trials) if trial.is_chosen), None)
    print_table(columns, rows, marked=chosen)
    if chosen is not None and _is_first_of_equals(trials, chosen):
        print_line("of those that do about as well as the best the first tried is taken")


def _is_first_of_equals(trials: Sequence[PoolingTrial], chosen: int) -> bool:
    """Return whether only poolings tried after the chosen one have a higher figure."""
    reached = trials[chosen].accuracy.estimate
    before = (trial.accuracy.estimate for trial in trials[:chosen])
    after = (trial.accuracy.estimate for trial in trials[chosen + 1 :])
    return max(after, default=0.0) > reached > max(before, default=0.0)

"""A new version beside the one that was promoted before it, in words."""

from collections.abc import Sequence
from typing import Final

from icecore.cli.output import one_line
from icecore.client import JoinedGain, ProbeVersion

_NAMED: Final = 5
"""Classes that are told by name; of more only how many there are."""


def going_over(
    before: ProbeVersion | None, version: ProbeVersion, *, is_guarded: bool
) -> list[str]:
    """Return what who goes over from one to the other should know, a line each.

    Args:
        before: promoted when the training was asked for; None where none was.
        version: the new one.
        is_guarded: it was to be promoted only if not worse.
    """
    lines = []
    if is_guarded and before is None and version.is_promoted:
        lines.append(
            "promoted without a comparison: no version was promoted before, so --not-worse-by had "
            "nothing to compare it with"
        )
    if before is not None and before.version != version.version:
        if version.is_promoted:
            lines.append(
                f"'icecore predict' uses it now, in place of version {before.version}"
                f"{_accuracy(before)}; back with 'icecore probes promote {before.probe_id} "
                f"{before.version}'"
            )
        changed = [
            *(f"+{one_line(label)}" for label in _shown(before.classes, version.classes)),
            *(f"-{one_line(label)}" for label in _shown(version.classes, before.classes)),
        ]
        if changed:
            lines.append(f"classes changed since version {before.version}: {', '.join(changed)}")
    return lines


def reads(version: ProbeVersion) -> str:
    """Return what a READY version reads: its tap, or several joined."""
    if version.tap is not None:
        return str(version.tap)
    first = version.taps[0]
    places = [str(tap.depth) if tap.depth else one_line(tap.layer) for tap in version.taps]
    return (
        f"{len(places)} layers together of {one_line(first.backbone)}@{first.digest[:8]}: "
        f"{', '.join(places)}"
    )


def mark_of(version: ProbeVersion) -> str:
    """Return what the marked one of a version's trials is."""
    return "<- chosen by itself" if version.joined_taps else "<- chosen"


def fallen_out(version: ProbeVersion) -> str:
    """Return that not all layers were judged in full, in words; "" where all were."""
    n_judged, n_layers = version.n_layers_judged, version.n_layers or 0
    if not n_judged < n_layers:
        return ""
    alone = " by themselves" if version.joined_taps else ""
    told = f"{n_judged:,} of {n_layers:,} layers were judged in full{alone}; the others fell out"
    return f"{told} by a cheaper score{', but could be joined' if alone else ''}"


def done_to_codes(preprocessing: str) -> str:
    """Return what is done to codes before the weights, in words; "" where nothing is."""
    words = {
        "": "",
        "none": "",
        "l2": ", each code brought to length one",
        "signed-root": ", of each code's roots",
        "softmax": ", as probabilities",
    }
    return words[preprocessing]


def joined_or_not(gain: JoinedGain) -> str:
    """Return whether to read layers together is worth it, in words."""
    found = gain.difference
    estimate, low, high = (100 * share for share in (found.estimate, found.low, found.high))
    told = (
        f"together {estimate:+.1f} points over one layer, which has "
        f"{100 * gain.alone.estimate:.1f} % with all of its choice repeated (95 % interval "
        f"{low:+.1f} to {high:+.1f})"
    )
    if found.low > 0.0:
        return f"{told}: it helps"
    if found.high <= 0.0:
        return f"{told}: it hurts; use --layer auto"
    return f"{told}: whether it helps is open; --layer auto needs one layer only"


def _shown(known: Sequence[str], these: Sequence[str]) -> list[str]:
    """The labels of `these` that are not among those known, the first few by name."""
    new = [label for label in these if label not in set(known)]
    if len(new) <= _NAMED:
        return new
    return [*new[:_NAMED], f"{len(new) - _NAMED:,} more"]


def _accuracy(version: ProbeVersion) -> str:
    found = version.accuracy
    return "" if found is None else f" ({100 * found.estimate:.1f} %)"

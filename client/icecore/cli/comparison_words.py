"""Two versions beside each other in words: which is better, and over which classes."""

from collections.abc import Iterable, Sequence
from typing import Final

from icecore.cli.output import one_line
from icecore.client import Comparison

_NAMED: Final = 5
"""Classes that are told by name; of more only how many there are."""


def classes_apart(found: Comparison, labels: Iterable[str]) -> list[str]:
    """Return that the versions know different classes, in lines; none where they do not.

    It goes before all figures: these count an image of a class that one version does not know
    against that version. `labels` are the collection's; where none is of such a class, the
    figures are of the classes that both know.
    """
    known = frozenset(labels)
    lines, is_counted = [], False
    for version, other, classes in (
        (found.version_a, found.version_b, found.classes_only_in_a),
        (found.version_b, found.version_a, found.classes_only_in_b),
    ):
        if not classes:
            continue
        lines.append(f"only version {version} knows {_listed(classes)}")
        if not known.isdisjoint(classes):
            is_counted = True
            lines[-1] += f": on images of these version {other} is wrong, whatever it says"
    if is_counted:
        lines.append(
            "so the figures below are over all classes, not over those that both know; for these, "
            "compare on a collection that has no others (--collection C)"
        )
    elif lines:
        lines.append(
            f"collection {found.collection_id!r} has no images of such classes: the figures below "
            "are over the classes that both know"
        )
    return lines


def which_is_better(found: Comparison, labels: Iterable[str]) -> list[str]:
    """Return which version is better, and what follows for the classes that both know."""
    known = frozenset(labels)
    only_a, only_b = (
        not known.isdisjoint(classes)
        for classes in (found.classes_only_in_a, found.classes_only_in_b)
    )
    a, b = f"version {found.version_a}", f"version {found.version_b}"
    difference = found.difference
    points = (
        f"{b} minus {a} is {100 * difference.estimate:+.1f} points "
        f"(95 % interval {100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
    )
    over = "over all classes " if only_a or only_b else ""
    told = f"{over}version {found.better} is better: {points}"
    if found.better is None:
        told = f"{over}the images do not tell which is better: {points}"
    return [told] if only_a == only_b else [told, _of_both(found, is_a_wider=only_a)]


def _of_both(found: Comparison, *, is_a_wider: bool) -> str:
    """What the figures over all classes tell of those that both know; a or b alone knows others.

    That version can only win by their images. So without them its lead is no larger in images,
    nor its lag smaller; and as a share of fewer images a lag is no smaller either.
    """
    wider, other = found.version_a, found.version_b
    lead = found.n_only_a_right - found.n_only_b_right
    if not is_a_wider:
        wider, other, lead = other, wider, -lead
    if lead > 0:
        return (
            f"the lead of version {wider} may be, in part or whole, of images of classes that "
            f"version {other} does not know"
        )
    if lead == 0:
        return f"on the classes that both know version {wider} is not ahead"
    return f"on the classes that both know version {other} is ahead by as much or more"


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(repr(one_line(label)) for label in classes[:_NAMED])
    return shown if len(classes) <= _NAMED else f"{shown} and {len(classes) - _NAMED:,} more"

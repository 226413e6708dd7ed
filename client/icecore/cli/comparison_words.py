"""Two versions beside each other in words: which is better, and over which classes."""

from collections.abc import Sequence
from typing import Final

from icecore.cli.output import one_line
from icecore.client import Comparison, Difference

_NAMED: Final = 5
"""Classes that are told by name; of more only how many there are."""


def before_figures(found: Comparison) -> list[str]:
    """Return which version is better where they know different classes; else no line.

    First on the images of classes that both know, then on all, with why these say something
    else: on images of a class that it does not know a version is wrong by definition.
    """
    apart = _apart(found)
    if not apart:
        return []
    shared = found.shared
    if shared is None:
        lead = "none of the images judged is of a class that both know"
    else:
        verdict = _verdict(found, found.better_on_shared, shared.difference)
        lead = f"on the {_images(shared.n_images)} of classes that both know: {verdict}"
    n_others = found.n_images - (shared.n_images if shared else 0)
    if not n_others:
        return [lead, f"these are all images judged, though {apart}"]
    return [
        lead,
        f"on all {_images(found.n_images)}: {_verdict(found, found.better, found.difference)}; "
        f"{n_others:,} of them {'is' if n_others == 1 else 'are'} of a class that a version does "
        f"not know, where it is wrong whatever it says: {apart}",
    ]


def after_figures(found: Comparison) -> list[str]:
    """Return which version is better, unless `before_figures` tells."""
    return [] if _apart(found) else [_verdict(found, found.better, found.difference)]


def _verdict(found: Comparison, better: int | None, difference: Difference) -> str:
    told = f"version {better} is better"
    if better is None:
        told = "the images do not tell which is better"
    return (
        f"{told}: version {found.version_b} minus version {found.version_a} is "
        f"{100 * difference.estimate:+.1f} points (95 % interval "
        f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
    )


def _apart(found: Comparison) -> str:
    """Return who alone knows which classes; "" where both know the same."""
    return " and ".join(
        f"only version {version} knows {_listed(classes)}"
        for version, classes in (
            (found.version_a, found.classes_only_in_a),
            (found.version_b, found.classes_only_in_b),
        )
        if classes
    )


def _images(n: int) -> str:
    return f"{n:,} image{'' if n == 1 else 's'}"


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(repr(one_line(label)) for label in classes[:_NAMED])
    return shown if len(classes) <= _NAMED else f"{shown} and {len(classes) - _NAMED:,} more"

"""A training that goes on from an earlier version: from which, and what may not be asked too."""

import click
from click.core import ParameterSource

from icecore.cli.mistakes import Mistake
from icecore.client import Client, NotFound, ProbeVersion

PROMOTED = "promoted"

_KEPT = {
    "kind": "--kind",
    "layers": "--layer",
    "backbone": "--backbone",
    "pooling": "--pool",
    "activation": "--activation",
}


def _which(_: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    """Return a version's number, or "promoted"."""
    if value is None or value == PROMOTED:
        return value
    if not (value.isdecimal() and int(value) >= 1):
        raise click.BadParameter(
            f"{value!r} is neither a version's number nor {PROMOTED!r}.", param=parameter
        )
    return int(value)


base_option = click.option(
    "--base",
    callback=_which,
    metavar="V",
    help="Go on from version V, or from the promoted one: all that was chosen for it is kept, and "
    "fitting starts at its weights where they are of use.",
)


def require_nothing_beside(context: click.Context) -> None:
    """Raises Mistake: an option was given that the base decides."""
    given = [
        flag
        for parameter, flag in _KEPT.items()
        if context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise Mistake(
            f"--base keeps what was chosen for its version: leave out {', '.join(given)}, or --base"
        )


def base_version(client: Client, name: str, base: int | str) -> ProbeVersion:
    """Return the version to go on from, by its number or as "promoted".

    Raises:
        NotFound: no such probe, or version.
        Mistake: none is promoted, or this one has no choice to keep.
    """
    probe = client.probe(name)
    number = probe.promoted_version if base == PROMOTED else base
    if number is None:
        raise Mistake(f"probe {name!r} has no promoted version: give --base a version's number")
    found = next((one for one in probe.versions if one.version == number), None)
    if found is None:
        known = ", ".join(str(one.version) for one in probe.versions) or "none"
        raise Mistake(f"probe {name!r} has no version {number}: it has {known}")
    if not found.taps:
        raise Mistake(f"version {number} of probe {name!r} is {found.state.value!r}, not 'ready'")
    return found


def backbone_of(client: Client, collection_id: str, base: ProbeVersion) -> str:
    """Return over which backbone to make the collection, "" where there is one already.

    Known before images are brought.

    Raises:
        Mistake: the collection is over another backbone than the base reads.
    """
    if not base.taps:
        raise AssertionError("a READY version has a tap")
    tap = base.taps[0]
    try:
        collection = client.collection(collection_id)
    except NotFound:
        return tap.backbone
    if tap.digest != collection.digest:
        raise Mistake(
            f"version {base.version} of probe {base.probe_id!r} reads '{tap}', but collection "
            f"{collection_id!r} is over another backbone, {collection.backbone!r}: train it "
            "without --base"
        )
    return ""

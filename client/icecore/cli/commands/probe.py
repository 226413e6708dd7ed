"""`icecore probes ...`: trained probes and their versions."""

from typing import Any

import click

from icecore.cli import names
from icecore.cli.choices import Whole, accuracy_of, json_option, not_worse_option
from icecore.cli.commands.probe_compare import compare
from icecore.cli.connection import Connection, connected
from icecore.cli.help import group
from icecore.cli.jobs import percent, print_trials, trial_json, version_json
from icecore.cli.names import completing
from icecore.cli.output import Column, one_line, print_json, print_line, print_table
from icecore.cli.poolings import print_poolings
from icecore.cli.version_words import joined_or_not, reads
from icecore.client import Probe, ProbeVersion


@group(
    "probes",
    examples="""
    icecore probes list
    icecore probes show ants-bees
    icecore probes promote ants-bees 1                    # back to the first version
    icecore probes compare ants-bees 1 2                  # on the same held-out images
    icecore probes delete ants-bees --version 2
    """,
)
def probes() -> None:
    """List, show, compare, promote and delete probes.

    `icecore train-probe` makes them.
    """


probes.add_command(compare)


@probes.command("list", examples="icecore probes list --json | jq '.[].name'")
@json_option
@connected
def list_probes(connection: Connection, as_json: bool) -> None:
    """List your probes."""
    with connection.client() as client:
        found = client.probes()
    if as_json:
        print_json([_probe_json(one) for one in found])
        return
    columns = [Column("name"), Column("versions", is_number=True)]
    columns += [Column("promoted", is_number=True), Column("accuracy", is_number=True)]
    columns += [Column("classes", is_number=True)]
    columns += [Column("depth", is_number=True), Column("layer")]
    print_table(columns, [_row(one) for one in found])


@probes.command("show", examples="icecore probes show ants-bees --json | jq '.versions[0]'")
@click.argument("name", shell_complete=completing(names.probes))
@json_option
@connected
def show(connection: Connection, name: str, as_json: bool) -> None:
    """Show a probe's versions, newest first.

    Below them, the depths that the promoted one was chosen from.
    """
    with connection.client() as client:
        probe = client.probe(name)
    if as_json:
        print_json(_probe_json(probe))
        return
    columns = [Column("version", is_number=True), Column("state"), Column("kind")]
    columns += [Column("accuracy", is_number=True), Column("95 % interval", is_number=True)]
    columns += [Column("images", is_number=True), Column("depth", is_number=True), Column("layer")]
    promoted = [place for place, one in enumerate(probe.versions) if one.is_promoted]
    print_table(
        columns,
        [_version_row(one) for one in probe.versions],
        marked=promoted[0] if promoted else None,
    )
    for one in probe.versions:
        if one.failure_message:
            print_line(f"version {one.version} {one.state.value}: {one_line(one.failure_message)}")
        if one.not_promoted_message and not one.is_promoted:
            why = one_line(one.not_promoted_message)
            print_line(f"version {one.version} was not promoted: {why}")
    shown = next(iter(one for one in probe.versions if one.is_promoted), None)
    if shown is not None and shown.trials:
        print_line()
        made = shown.create_time.astimezone().strftime("%Y-%m-%d %H:%M")
        print_line(
            f"version {shown.version}, made {made} from collection {shown.collection_id!r}, "
            f"reads {reads(shown)}{':' if len(shown.trials) > 1 else ''}"
        )
        # Of one candidate the table above has the accuracy.
        if len(shown.trials) > 1:
            print_trials(shown)
        if shown.pooling_trials:
            print_line()
            print_poolings(shown)
        if shown.joined_gain is not None:
            print_line(joined_or_not(shown.joined_gain))


@probes.command(
    "promote",
    examples="""
    icecore probes promote ants-bees 2 --expected 1
    icecore probes promote ants-bees 2 --not-worse-by 2   # points of accuracy
    """,
)
@click.argument("name", shell_complete=completing(names.probes))
@click.argument("version", type=Whole(min=1))
@click.option(
    "--expected",
    type=Whole(min=0),
    metavar="VERSION",
    help="Only if this one is promoted now (0: none).",
)
@not_worse_option
@connected
def promote(
    connection: Connection,
    name: str,
    version: int,
    expected: int | None,
    not_worse_by: float | None,
) -> None:
    """Make a version the one that `icecore predict` uses."""
    with connection.client() as client:
        client.promote_version(
            name, version, expected_version=expected, not_worse_by=accuracy_of(not_worse_by)
        )
    print_line(f"version {version} of probe {name!r} is promoted")


@probes.command("delete", examples="icecore probes delete ants-bees --version 2")
@click.argument("name", shell_complete=completing(names.probes))
@click.option("--version", type=Whole(min=1), metavar="N", help="This version only.")
@connected
def delete(connection: Connection, name: str, version: int | None) -> None:
    """Delete a probe with all its versions, or one version, really."""
    with connection.client() as client:
        if version is None:
            client.delete_probe(name)
        else:
            client.delete_version(name, version)
    what = f"probe {name!r}" if version is None else f"version {version} of probe {name!r}"
    print_line(f"{what} is deleted")


def _row(probe: Probe) -> tuple[object, ...]:
    promoted = next((one for one in probe.versions if one.is_promoted), None)
    if promoted is None:
        newest = probe.versions[0].state.value if probe.versions else "none"
        return probe.probe_id, len(probe.versions), "-", newest, "-", "-", "-"
    accuracy = "-" if promoted.accuracy is None else percent(promoted.accuracy)[0]
    return (
        probe.probe_id,
        len(probe.versions),
        promoted.version,
        accuracy,
        len(promoted.classes),
        *_place(promoted),
    )


def _version_row(version: ProbeVersion) -> tuple[object, ...]:
    estimate, interval = "-", "-"
    if version.accuracy is not None:
        estimate, interval = percent(version.accuracy)
    return (
        version.version,
        "promoted" if version.is_promoted else version.state.value,
        version.kind.value,
        estimate,
        interval,
        f"{version.n_images:,}",
        *_place(version),
    )


def _place(version: ProbeVersion) -> tuple[object, object]:
    """Depth and layer."""
    if version.joined_taps:
        return "all", f"{len(version.joined_taps)} layers joined"
    tap = version.tap
    return ("-", "-") if tap is None else (tap.depth or "-", tap.layer)


def _probe_json(probe: Probe) -> dict[str, Any]:
    return {
        "name": probe.probe_id,
        "promoted_version": probe.promoted_version,
        "create_time": probe.create_time.isoformat(),
        "versions": [
            version_json(one)
            | {
                "is_promoted": one.is_promoted,
                "collection": one.collection_id,
                "create_time": one.create_time.isoformat(),
                "failure": (
                    {"reason": one.failure_reason, "message": one.failure_message}
                    if one.failure_reason
                    else None
                ),
                "objective": one.objective,
                "gap": one.gap,
                "seed": one.seed,
                "data_digest": one.data_digest,
                "file_digest": one.file_digest,
                "trials": [trial_json(trial) for trial in one.trials],
            }
            for one in probe.versions
        ],
    }

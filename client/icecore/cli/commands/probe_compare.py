"""`icecore probes compare`: two versions on the same held-out images."""

from collections.abc import Sequence
from typing import Any

import click

from icecore.cli import names
from icecore.cli.choices import Whole, json_option
from icecore.cli.comparison_words import classes_apart, which_is_better
from icecore.cli.connection import Connection, connected
from icecore.cli.help import command
from icecore.cli.jobs import accuracy_json, percent
from icecore.cli.names import completing
from icecore.cli.output import Column, print_json, print_line, print_table
from icecore.client import Comparison


@command(
    "compare",
    examples="""
    icecore probes compare ants-bees 1 2
    icecore probes compare ants-bees 1 2 --collection new-photos
    icecore probes compare ants-bees 1 2 --json | jq .difference
    """,
)
@click.argument("name", shell_complete=completing(names.probes))
@click.argument("a", type=Whole(min=1))
@click.argument("b", type=Whole(min=1))
@click.option(
    "--collection",
    default="",
    metavar="C",
    shell_complete=completing(names.collections),
    help="Whose labelled images; without it, of the collection B was trained on.",
)
@json_option
@connected
def compare(
    connection: Connection, name: str, a: int, b: int, collection: str, as_json: bool
) -> None:
    """Compare versions A and B on the same labelled images.

    Each image is judged by answers that did not learn from it: a version that was
    trained on it is judged by the fold that held it out. Where they know different
    classes, that is told first.
    """
    with connection.client() as client:
        found = client.compare_versions(name, a, b, collection_id=collection)
        labels = () if as_json else tuple(client.collection(found.collection_id).labels)
    if as_json:
        print_json(_json(found))
    else:
        _print(found, labels)


def _print(found: Comparison, labels: Sequence[str]) -> None:
    a, b = f"version {found.version_a}", f"version {found.version_b}"
    (right_a, interval_a), (right_b, interval_b) = (
        percent(found.accuracy_a),
        percent(found.accuracy_b),
    )
    apart = classes_apart(found, labels)
    for line in apart:
        print_line(line)
    if apart:
        print_line()
    print_table(
        [Column(""), Column(a, is_number=True), Column(b, is_number=True)],
        [
            ("accuracy", right_a, right_b),
            ("95 % interval", interval_a, interval_b),
            (
                "right where the other is wrong",
                *_counts(found.n_only_a_right, found.n_only_b_right),
            ),
            ("images not trained on", *_counts(found.n_new_to_a, found.n_new_to_b)),
        ],
    )
    print_line()
    copies = found.n_images - found.n_different_images
    print_line(
        f"on {found.n_images:,} held-out images of collection {found.collection_id!r}"
        f"{f' ({copies:,} of them copies)' if copies else ''}: both are right on "
        f"{found.n_both_right:,}, neither on {found.n_neither_right:,}"
    )
    if found.n_left_out:
        print_line(
            f"{found.n_left_out:,} labelled images are left out: one version has no held-out "
            "answer for them"
        )
    for line in which_is_better(found, labels):
        print_line(line)


def _counts(a: int, b: int) -> tuple[str, str]:
    return f"{a:,}", f"{b:,}"


def _json(found: Comparison) -> dict[str, Any]:
    difference = found.difference
    return {
        "probe": found.probe_id,
        "version_a": found.version_a,
        "version_b": found.version_b,
        "collection": found.collection_id,
        "better": found.better,
        "difference": {
            "estimate": difference.estimate,
            "low": difference.low,
            "high": difference.high,
        },
        "accuracy_a": accuracy_json(found.accuracy_a),
        "accuracy_b": accuracy_json(found.accuracy_b),
        "n_images": found.n_images,
        "n_different_images": found.n_different_images,
        "n_new_to_a": found.n_new_to_a,
        "n_new_to_b": found.n_new_to_b,
        "n_new_to_both": found.n_new_to_both,
        "n_left_out": found.n_left_out,
        "n_both_right": found.n_both_right,
        "n_only_a_right": found.n_only_a_right,
        "n_only_b_right": found.n_only_b_right,
        "n_neither_right": found.n_neither_right,
        "classes_only_in_a": list(found.classes_only_in_a),
        "classes_only_in_b": list(found.classes_only_in_b),
    }

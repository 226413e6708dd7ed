"""`icecore probes compare`: two versions on the same held-out images."""

from typing import Any

import click

from icecore.cli import names
from icecore.cli.choices import Whole, json_option
from icecore.cli.comparison_words import after_figures, before_figures
from icecore.cli.connection import Connection, connected
from icecore.cli.help import command
from icecore.cli.jobs import accuracy_json, percent
from icecore.cli.names import completing
from icecore.cli.output import Column, print_json, print_line, print_table
from icecore.client import Comparison, SharedClasses


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
    classes, the images of those that both know are told first; `better` in JSON and
    --not-worse-by of `promote` and `train-probe` go by all images of the collection,
    since these are what you have.
    """
    with connection.client() as client:
        found = client.compare_versions(name, a, b, collection_id=collection)
    if as_json:
        print_json(_json(found))
    else:
        _print(found)


def _print(found: Comparison) -> None:
    a, b = f"version {found.version_a}", f"version {found.version_b}"
    told = before_figures(found)
    for line in told:
        print_line(line)
    if told:
        print_line()
    shared = found.shared if found.shared and found.shared.n_images < found.n_images else None
    print_table(
        [Column(""), Column(a, is_number=True), Column(b, is_number=True)],
        [
            *(_accuracies("accuracy on classes both know", shared) if shared else ()),
            *_accuracies("accuracy on all images" if told else "accuracy", found),
            (
                "right where the other is wrong",
                *_counts(found.n_only_a_right, found.n_only_b_right),
            ),
            ("images new to it", *_counts(found.n_new_to_a, found.n_new_to_b)),
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
    for line in after_figures(found):
        print_line(line)


def _accuracies(title: str, of: Comparison | SharedClasses) -> list[tuple[str, str, str]]:
    (right_a, interval_a), (right_b, interval_b) = percent(of.accuracy_a), percent(of.accuracy_b)
    return [(title, right_a, right_b), ("95 % interval", interval_a, interval_b)]


def _counts(a: int, b: int) -> tuple[str, str]:
    return f"{a:,}", f"{b:,}"


def _json(found: Comparison) -> dict[str, Any]:
    return {
        "probe": found.probe_id,
        "version_a": found.version_a,
        "version_b": found.version_b,
        "collection": found.collection_id,
        "better": found.better,
        "difference": accuracy_json(found.difference),
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
        "shared": None if found.shared is None else _shared_json(found.shared),
    }


def _shared_json(shared: SharedClasses) -> dict[str, Any]:
    return {
        "n_images": shared.n_images,
        "difference": accuracy_json(shared.difference),
        "accuracy_a": accuracy_json(shared.accuracy_a),
        "accuracy_b": accuracy_json(shared.accuracy_b),
    }

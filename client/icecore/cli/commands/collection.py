"""`icecore collections ...`: stored, labelled images."""

from pathlib import Path
from typing import Any

import click

from icecore.cli import bringing, names
from icecore.cli.choices import (
    FOLDER,
    backbone_option,
    json_option,
    prune_option,
    skip_bad_option,
)
from icecore.cli.connection import Connection, connected
from icecore.cli.folders import labelled_files
from icecore.cli.help import group
from icecore.cli.names import completing
from icecore.cli.output import Column, print_json, print_line, print_table
from icecore.client import Collection


@group(
    "collections",
    examples="""
    icecore collections add ants-bees photos              # made if there is none
    icecore collections list
    icecore collections delete ants-bees                  # with its images and codes, really
    """,
)
def collections() -> None:
    """Make, fill, list and delete collections."""


@collections.command("create", examples="icecore collections create cells --no-keep-images")
@click.argument("name", shell_complete=completing(names.collections))
@backbone_option
@click.option(
    "--no-keep-images",
    is_flag=True,
    help="Store codes only; then nothing but averages at layers with a depth can be read later.",
)
@json_option
@connected
def create(
    connection: Connection, name: str, backbone: str, no_keep_images: bool, as_json: bool
) -> None:
    """Make an empty collection over a backbone."""
    with connection.client() as client:
        made = client.create_collection(name, backbone=backbone, keep_images=not no_keep_images)
    if as_json:
        print_json(_collection_json(made))
    else:
        print_line(f"collection {name!r} over {made.backbone!r} is made")


@collections.command(
    "add",
    examples="""
    icecore collections add ants-bees photos              # photos/ant/1.jpg, photos/bee/1.jpg, ...
    icecore collections add ants-bees photos --prune --skip-bad
    """,
)
@click.argument("name", shell_complete=completing(names.collections))
@click.argument("folder", metavar="DIR", type=FOLDER)
@backbone_option
@prune_option
@skip_bad_option
@json_option
@connected
def add(
    connection: Connection,
    name: str,
    folder: Path,
    backbone: str,
    prune: bool,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Bring a folder of images into a collection, made if there is none.

    DIR holds one sub-folder a class; files beside those are not looked at. An
    example's id is its path below DIR. New files are added, changed ones
    replaced; vanished ones stay unless --prune.
    """
    files = labelled_files(folder)
    with connection.client() as client:
        plan = bringing.plan(client, name, files, backbone=backbone, prune=prune, skip_bad=skip_bad)
        brought = bringing.bring(client, plan, skip_bad=skip_bad)
    if as_json:
        skipped = [str(one.path) for one in brought.skipped]
        print_json({"collection": name, **brought.counts, "skipped": skipped})
    else:
        print_line(str(brought))


@collections.command("list", examples="icecore collections list --json | jq '.[].n_examples'")
@json_option
@connected
def list_collections(connection: Connection, as_json: bool) -> None:
    """List your collections."""
    with connection.client() as client:
        found = client.collections()
    if as_json:
        print_json([_collection_json(one) for one in found])
        return
    columns = [Column("name"), Column("examples", is_number=True)]
    columns += [Column("classes", is_number=True), Column("backbone"), Column("images")]
    rows = [
        (
            one.collection_id,
            f"{one.n_examples:,}",
            sum(1 for label in one.labels if label),
            one.backbone,
            "kept" if one.keep_images else "not kept",
        )
        for one in found
    ]
    print_table(columns, rows)


@collections.command("delete", examples="icecore collections delete ants-bees")
@click.argument("name", shell_complete=completing(names.collections))
@connected
def delete(connection: Connection, name: str) -> None:
    """Delete a collection with its examples, images and codes, really."""
    with connection.client() as client:
        client.delete_collection(name)
    print_line(f"collection {name!r} is deleted")


def _collection_json(collection: Collection) -> dict[str, Any]:
    return {
        "name": collection.collection_id,
        "backbone": collection.backbone,
        "digest": collection.digest,
        "keep_images": collection.keep_images,
        "n_examples": collection.n_examples,
        "labels": dict(sorted(collection.labels.items())),
        "create_time": collection.create_time.isoformat(),
    }

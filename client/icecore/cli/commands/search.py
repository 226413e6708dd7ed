"""`icecore search`: what in a collection looks like these images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from icecore.cli import names
from icecore.cli.choices import (
    FOLDER,
    activation_option,
    json_option,
    metric_option,
    pool_option,
    skip_bad_option,
)
from icecore.cli.connection import Connection, connected
from icecore.cli.folders import image_files
from icecore.cli.help import command
from icecore.cli.mistakes import Mistake
from icecore.cli.names import completing
from icecore.cli.output import Column, print_json, print_table
from icecore.cli.readable import require_readable
from icecore.client import Hit

BATCH = 32


@command(
    "search",
    examples="""
    icecore search ants-bees new.jpg -k 5
    icecore search ants-bees new.jpg --layer 17 --metric l2 --filter 'label = "bee"'
    icecore search ants-bees --id ant/1.jpg --json        # by a stored example
    """,
)
@click.argument("collection", shell_complete=completing(names.collections))
@click.argument("paths", metavar="[PATH...]", nargs=-1, type=FOLDER)
@click.option("--id", "ids", multiple=True, metavar="ID", help="A stored example as the query.")
@click.option(
    "-k", "k", type=int, metavar="K", default=10, show_default=True, help="Hits an image."
)
@click.option(
    "--layer",
    default="-1",
    show_default=True,
    metavar="L",
    shell_complete=completing(names.layers),
    help="A depth or a name.",
)
@metric_option
@click.option(
    "--filter", "where", default="", metavar="F", help='Such as label = "ant" AND metadata.x > 1.'
)
@pool_option
@activation_option
@skip_bad_option
@json_option
@connected
def search(
    connection: Connection,
    collection: str,
    paths: tuple[Path, ...],
    ids: tuple[str, ...],
    k: int,
    layer: str,
    metric: str,
    where: str,
    pooling: str,
    activation: str,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Find what in a collection looks most like images.

    Those are the examples whose codes are nearest, best first.

    With --json one object a line: path (or id) and its hits.
    """
    if bool(paths) == bool(ids):
        raise Mistake("give PATH..., images to look for, or --id ID, and not both")
    files = image_files(paths)
    with connection.client() as client:
        client.collection(collection)  # a wrong name is found before the files are read
        if files:
            files = require_readable(files, lambda path: path, skip_bad=skip_bad)

        def ask(kind: str, queries: Sequence[Any]) -> Iterator[list[Hit]]:
            for start in range(0, len(queries), BATCH):
                part = queries[start : start + BATCH]
                yield from client.search(
                    collection,
                    images=part if kind == "path" else None,
                    example_ids=part if kind == "id" else None,
                    k=k,
                    layer=layer,
                    activation=activation,
                    pooling=pooling,
                    metric=metric,
                    filter=where,
                )

        kind, queries = ("path", list[Any](files)) if files else ("id", list[Any](ids))
        found = ask(kind, queries)
        if as_json:
            for query, hits in zip(queries, found, strict=True):
                print_json({kind: str(query), "hits": [hit_json(hit) for hit in hits]})
            return
        results = list(zip(queries, found, strict=True))
    _print(kind, results)


def hit_json(hit: Hit) -> dict[str, object]:
    return {
        "id": hit.example.example_id,
        "label": hit.example.label,
        "metadata": dict(hit.example.metadata),
        "score": hit.score,
    }


def _print(kind: str, results: Sequence[tuple[object, Sequence[Hit]]]) -> None:
    rows: list[tuple[object, ...]] = []
    for query, hits in results:
        rows += [
            (query, place, hit.example.example_id, hit.example.label, f"{hit.score:.4f}")
            for place, hit in enumerate(hits, start=1)
        ]
    columns = [Column(kind), Column("rank", is_number=True), Column("hit")]
    print_table([*columns, Column("label"), Column("score", is_number=True)], rows)

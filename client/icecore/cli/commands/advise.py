"""`icecore advise`: labelled images in, what they say about transfer out."""

from dataclasses import replace
from pathlib import Path

import click

from icecore.cli import bringing, names
from icecore.cli.advice_json import advice_json
from icecore.cli.advice_report.words.commands import MOST_IMAGES, Origin
from icecore.cli.choices import (
    FOLDER,
    Whole,
    json_option,
    kind_option,
    prune_option,
    seed_option,
    skip_bad_option,
)
from icecore.cli.connection import Connection, connected
from icecore.cli.folders import labelled_files, require_place
from icecore.cli.help import command
from icecore.cli.mistakes import Interrupted, Mistake
from icecore.cli.names import completing
from icecore.cli.output import note, print_json
from icecore.cli.progress import working
from icecore.client import Advice, Advising, Client
from icecore.wire.names import check_id

SAID = {
    "waiting": "waiting for its turn",
    "codes": "reading images",
    "layers": "judging every depth",
    "twins": "running untrained networks",
    "baselines": "judging simpler ways",
    "curve": "trying fewer images",
}
"""Stages of the server, and what people read."""


@command(
    "advise",
    examples="""
    icecore advise photos                         # photos/ant/1.jpg, photos/bee/1.jpg, ...
    icecore advise photos --report advice.html    # with plots, to be read in a browser
    icecore advise photos --max-images 300        # sooner, with wider ranges
    icecore advise --collection blood --json | jq .verdict
    icecore advise --collection blood --backbone resnet50 --backbone efficientnet-lite0
    """,
)
@click.argument("folder", metavar="[DIR]", required=False, type=FOLDER)
@click.option(
    "--collection",
    metavar="C",
    shell_complete=completing(names.collections),
    help="Judge a collection as it is.",
)
@click.option(
    "--name",
    metavar="C",
    help="The collection that DIR is brought into; without it, called as the folder is.",
)
@click.option(
    "--backbone",
    "backbones",
    multiple=True,
    metavar="NAME",
    shell_complete=completing(names.backbones),
    help="A backbone to judge, again for several; without it, the collection's own.",
)
@kind_option
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write a page with plots too.",
)
@click.option(
    "--max-images",
    type=Whole(min=1, max=MOST_IMAGES),
    metavar="N",
    help="Judge N images at most, of each class alike; without it, 2,000.",
)
@seed_option
@prune_option
@skip_bad_option
@json_option
@connected
def advise(
    connection: Connection,
    folder: Path | None,
    collection: str | None,
    name: str | None,
    backbones: tuple[str, ...],
    kind: str,
    report: Path | None,
    max_images: int | None,
    seed: int,
    prune: bool,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Say whether transfer helps with your images, and what to do.

    DIR holds one sub-folder a class. It is brought into a collection first. Every depth is
    judged by images it did not learn from, and compared with what costs less: the commonest
    class, raw pixels, edges, and the same network before it learnt anything.
    On two idle cores that takes half a minute for 200 images and three to four for 1,000.
    """
    if (folder is None) == (collection is None):
        raise Mistake("give DIR, one sub-folder a class, or --collection C, and not both")
    if collection is not None and (prune or skip_bad or name):
        raise Mistake("--prune, --skip-bad and --name go with DIR, not with --collection")
    if report is not None:
        require_place(report)
    with connection.client() as client:
        if folder is not None:
            collection = name or _called(folder)
            _bring(client, collection, folder, backbones, prune=prune, skip_bad=skip_bad)
        if collection is None:
            raise AssertionError("one of the two is there")
        origin = Origin(
            folder="" if folder is None else str(folder),
            name=name or "",
            backbone=client.collection(collection).backbone,
            flags=connection.flags,
        )
        advice = _advised(client, collection, backbones, kind, seed, max_images or 0)
    if report is not None:
        from icecore.cli.advice_report import write  # with what draws

        write(advice, report, origin)
        note(f"report: {report}")
    if as_json:
        print_json(advice_json(advice))
    else:
        from icecore.cli.advice_text import print_advice

        print_advice(advice, origin)


def _called(folder: Path) -> str:
    """The name of the collection of a folder."""
    name = folder.resolve().name
    try:
        return check_id("collection", name)
    except ValueError as error:
        raise Mistake(f"{error}: give the collection another name with --name") from None


def _bring(
    client: Client,
    collection: str,
    folder: Path,
    backbones: tuple[str, ...],
    *,
    prune: bool,
    skip_bad: bool,
) -> None:
    for backbone in backbones:
        client.backbone(backbone)  # refused before anything is made
    plan = bringing.plan(client, collection, labelled_files(folder), prune=prune, skip_bad=skip_bad)
    bringing.require_trainable(plan)
    if plan.exists and not client.collection(collection).keep_images:
        raise Mistake(
            f"collection {collection!r} keeps no images, and an advice looks at them: bring DIR "
            "into another collection with --name"
        )
    if not plan.exists and backbones:
        plan = replace(plan, backbone=backbones[0])
    note(str(bringing.bring(client, plan, skip_bad=skip_bad)))


def _advised(
    client: Client,
    collection: str,
    backbones: tuple[str, ...],
    kind: str,
    seed: int,
    max_images: int,
) -> Advice:
    with working(f"judging collection {collection!r}", 1.0) as work:

        def show(said: Advising) -> None:
            work.reach(said.progress, SAID.get(said.stage, said.stage))

        try:
            return client.advise_transfer(
                collection,
                backbones,
                kind=kind,
                seed=seed,
                max_images=max_images,
                on_progress=show,
            )
        except KeyboardInterrupt:
            raise Interrupted(
                "interrupted; nothing of the advice was stored, and what is in collection "
                f"{collection!r} stays: the same command begins anew, and with --max-images N it "
                "judges fewer images and is done sooner"
            ) from None

"""`icecore backbones ...`: the frozen networks of a server."""

from pathlib import Path

import click

from icecore.cli import names
from icecore.cli.backbone_words import backbone_json, print_backbone, recipe_from, recipe_words
from icecore.cli.choices import FOLDER, json_option
from icecore.cli.commands.backbone_check import check
from icecore.cli.commands.backbone_export import export
from icecore.cli.commands.backbone_quantise import quantise
from icecore.cli.connection import Connection, connected
from icecore.cli.help import group
from icecore.cli.mistakes import Mistake
from icecore.cli.names import completing
from icecore.cli.output import Column, note, print_json, print_line, print_table
from icecore.cli.progress import working
from icecore.client import Backbone, Card, Client, FailedPrecondition, Reason

_PACKED = (".bz2", ".gz", ".xz", ".zip", ".zst")

FREES = "'icecore collections delete' and 'icecore probes delete'"

BESIDE = "preprocessor_config.json"
"""What Hugging Face's exporters leave beside the network."""


@group(
    "backbones",
    examples="""
    icecore backbones list                                # those there are; 'list' may be left out
    icecore backbones show efficientnet-lite0
    icecore backbones add resnet50 resnet50.onnx          # then: check resnet50 PHOTOS
    icecore backbones quantise resnet50 --calibrate PHOTOS
    icecore backbones --json | jq '.[].name'
    """,
    runs_alone=True,
)
@json_option
@click.pass_context
def backbones(context: click.Context, as_json: bool) -> None:
    """List the server's backbones, and bring networks of your own.

    Adding, checking, quantising and removing need the administrator's key: --key or
    ICECORE_KEY, or else the file admin.key of the data folder.
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise Mistake(f"--json belongs behind {context.invoked_subcommand!r}")
        return
    _list(Connection.given(), as_json=as_json)


@backbones.command("list", examples="icecore backbones list --json | jq '.[].name'")
@json_option
@connected
def list_backbones(connection: Connection, as_json: bool) -> None:
    """List the server's backbones, as 'icecore backbones' alone does."""
    _list(connection, as_json=as_json)


@backbones.command("show", examples="icecore backbones show efficientnet-lite0")
@click.argument("name", default="", shell_complete=completing(names.backbones))
@json_option
@connected
def show(connection: Connection, name: str, as_json: bool) -> None:
    """Show where a backbone comes from and how it is fed.

    Without a name, the default one. An int8 one's fidelity report is part of it.
    """
    with connection.client() as client:
        found = client.backbone(name)
    if as_json:
        print_json(backbone_json(found))
    else:
        print_backbone(found)


@backbones.command(
    "add",
    examples="""
    icecore backbones add resnet50 resnet50.onnx
    icecore backbones add resnet50 resnet50.onnx --recipe config.json --licence Apache-2.0
    icecore backbones add cells cells.onnx --recipe cells.toml --trained-on 'cell images'
    """,
)
@click.argument("name")
@click.argument("file", metavar="FILE.onnx", type=FOLDER)
@click.option(
    "--recipe",
    type=FOLDER,
    metavar="FILE",
    help="timm's pretrained_cfg or Hugging Face's preprocessor_config.json (JSON), or TOML "
    "with what differs from ImageNet's usual, such as preset = 'tensorflow'.",
)
@click.option("--source", default="", metavar="TEXT", help="Where it comes from.")
@click.option("--licence", default="", metavar="TEXT", help="Under which it may be used.")
@click.option("--trained-on", default="", metavar="TEXT", help="The images it has learnt from.")
@click.option("--accuracy", default="", metavar="TEXT", help="As published.")
@click.option("--notes", default="", metavar="TEXT", help="What else is good to know.")
@json_option
@connected
def add(
    connection: Connection,
    name: str,
    file: Path,
    recipe: Path | None,
    source: str,
    licence: str,
    trained_on: str,
    accuracy: str,
    notes: str,
    as_json: bool,
) -> None:
    """Add a network from an ONNX file.

    Every layer of it can be read then. Any CNN or vision transformer of float32,
    float16 or int8 (QDQ). Without --recipe, a TOML of the file's name or a
    preprocessor_config.json beside it says how it is fed, or its metadata; else the
    usual of ImageNet networks is assumed, which 'icecore backbones check' tries on photos.

    A name that is taken points to the new network from then on; probes and
    collections of the old one go on with the old one.
    """
    for path in (file, recipe):
        if path is not None and not path.is_file():
            raise Mistake(f"{str(path)!r} is no file")
    if file.suffix in _PACKED:
        raise Mistake(f"{str(file)!r} is compressed: unpack it first")
    if recipe is None:
        recipe = _recipe_beside(file)
    card = Card(source, licence, trained_on, notes, accuracy)
    with connection.administrator() as client:
        added = _sent(client, name, file, recipe, card)
    if as_json:
        print_json(backbone_json(added))
        return
    print_line(
        f"backbone {added.name!r} is added: {added.depths} depths, {added.layers} layers, "
        f"digest {added.digest[:12]}"
    )
    print_line(f"recipe: {recipe_words(added.recipe)}")
    print_line(f"        from {recipe_from(added)}")
    for change in added.changes:
        print_line(f"changed: {change}")
    note(f"'icecore backbones check {name} PHOTOS' tries the recipe on labelled photos")


@backbones.command("remove", examples="icecore backbones remove resnet50")
@click.argument("name", shell_complete=completing(names.backbones))
@connected
def remove(connection: Connection, name: str) -> None:
    """Remove a backbone.

    Refused while a probe or a collection needs it.
    """
    with connection.administrator() as client:
        try:
            client.remove_backbone(name)
        except FailedPrecondition as error:
            # The default one is said to be in use as well, and stays whatever is deleted.
            if error.reason != Reason.BACKBONE_IN_USE or client.backbone(name).is_default:
                raise
            raise Mistake(f"{error} ({FREES})") from error
    print_line(f"backbone {name!r} is removed")


backbones.add_command(check)
backbones.add_command(quantise)
backbones.add_command(export)


def _list(connection: Connection, *, as_json: bool) -> None:
    with connection.client() as client:
        found = client.backbones()
    if as_json:
        print_json([backbone_json(one) for one in found])
        return
    columns = [Column("name"), Column("digest"), Column("layers", is_number=True)]
    columns += [Column("input"), Column("precision"), Column("trained on"), Column("licence")]
    rows = [
        (
            one.name,
            one.digest[:12],
            one.depths,
            f"{one.recipe.height}x{one.recipe.width}",
            one.precision,
            one.card.trained_on,
            one.card.licence,
            "default" if one.is_default else "",
        )
        for one in found
    ]
    print_table([*columns, Column("")], rows)


def _recipe_beside(file: Path) -> Path | None:
    """The recipe file that lies beside the network, if there is one."""
    for beside in (file.with_suffix(".toml"), file.with_name(BESIDE)):
        if beside.is_file():
            note(f"recipe: {str(beside)!r}, which lies beside the file (--recipe names another)")
            return beside
    return None


def _sent(client: Client, name: str, file: Path, recipe: Path | None, card: Card) -> Backbone:
    with working(f"adding {name!r}", 1.0) as work:

        def show(n_sent: int, n_bytes: int) -> None:
            done = n_sent / n_bytes
            work.reach(0.9 * done, "sending" if n_sent < n_bytes else "the server examines it")

        return client.add_backbone(name, file, recipe=recipe, card=card, on_bytes=show)

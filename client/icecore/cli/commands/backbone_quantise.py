"""`icecore backbones quantise`: a static int8 backbone of a float32 one."""

from pathlib import Path

import click

from icecore.cli import names
from icecore.cli.backbone_words import backbone_json, print_fidelity
from icecore.cli.choices import FOLDER, Whole, json_option, skip_bad_option
from icecore.cli.connection import Connection, connected
from icecore.cli.folders import classes_of, image_files, labelled_files
from icecore.cli.help import command
from icecore.cli.mistakes import Mistake
from icecore.cli.names import completing
from icecore.cli.output import note, print_json, print_line
from icecore.cli.progress import working
from icecore.cli.readable import require_readable
from icecore.cli.spreading import evenly, spread
from icecore.client import Backbone, Client, LabelledImage, Quantising


@command(
    "quantise",
    examples="""
    icecore backbones quantise efficientnet-lite0 --calibrate photos
    icecore backbones quantise resnet50 --calibrate photos --evaluate cells --evaluate letters
    icecore backbones quantise resnet50 --calibrate photos --as resnet50-fast
    """,
)
@click.argument("name", shell_complete=completing(names.backbones))
@click.option(
    "--calibrate",
    required=True,
    type=FOLDER,
    metavar="DIR",
    help="Images like those it is for; labels are not looked at.",
)
@click.option(
    "--evaluate",
    multiple=True,
    type=FOLDER,
    metavar="DIR",
    help="One sub-folder a class, for the report; again for several. Without: that of --calibrate.",
)
@click.option("--as", "new_name", default="", metavar="NAME", help="Its name; NAME-int8 without.")
@click.option(
    "--percentile",
    type=click.FloatRange(min=90.0, max=100.0),
    default=99.99,
    show_default=True,
    metavar="P",
    help="Share of values that the range of a tensor covers.",
)
@click.option(
    "--limit",
    type=Whole(min=8),
    default=128,
    show_default=True,
    help="Images for calibration, spread evenly.",
)
@click.option(
    "--evaluate-limit",
    type=Whole(min=20),
    default=400,
    show_default=True,
    help="Images of each set for the report.",
)
@skip_bad_option
@json_option
@connected
def quantise(
    connection: Connection,
    name: str,
    calibrate: Path,
    evaluate: tuple[Path, ...],
    new_name: str,
    percentile: float,
    limit: int,
    evaluate_limit: int,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Make an int8 backbone of a float32 one.

    It is a backbone of its own with the same layer names: smaller, and faster where
    the processor has VNNI. The report has the cosine between codes at each
    layer, the speed on this server, and the accuracy of probes trained anew on either's codes.
    """
    calibration = require_readable(
        evenly(image_files([calibrate]), limit), lambda path: path, skip_bad=skip_bad
    )
    sets = evaluate or ((calibrate,) if _is_labelled(calibrate) else ())
    evaluation = [
        one for folder in sets for one in _labelled(folder, evaluate_limit, skip_bad=skip_bad)
    ]
    if not sets:
        note("no labelled images, so no probes are compared (--evaluate DIR)")
    with connection.administrator() as client:
        made = _made(client, name, new_name, calibration, evaluation, percentile)
    if as_json:
        print_json(backbone_json(made))
        return
    print_line(f"backbone {made.name!r} is made of {name!r}: digest {made.digest[:12]}")
    if made.fidelity is not None:
        print_fidelity(made.fidelity)


def _made(
    client: Client,
    name: str,
    new_name: str,
    calibration: list[Path],
    evaluation: list[LabelledImage],
    percentile: float,
) -> Backbone:
    with working(f"quantising {name!r}", 1.0) as work:

        def show(said: Quantising) -> None:
            work.reach(said.progress, said.stage)

        return client.quantise_backbone(
            name,
            calibration,
            name=new_name,
            evaluation=evaluation,
            percentile=percentile,
            on_progress=show,
        )


def _is_labelled(folder: Path) -> bool:
    try:
        counts = classes_of(labelled_files(folder))
    except Mistake:
        return False
    return len(counts) > 1 and min(counts.values()) > 1


def _labelled(folder: Path, limit: int, *, skip_bad: bool) -> list[LabelledImage]:
    files = require_readable(
        spread(labelled_files(folder), limit), lambda file: file.path, skip_bad=skip_bad
    )
    return [
        LabelledImage(file.path, file.label, set=_text(folder.resolve().name)) for file in files
    ]


def _text(name: str) -> str:
    """A folder's name as it can be sent and shown: bytes that are not UTF-8 are written out."""
    return name.encode(errors="backslashreplace").decode()

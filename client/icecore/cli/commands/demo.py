"""`icecore demo`: the main job, from images to pictures of the results."""

import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
from rich.text import Text

from icecore.cli import bringing
from icecore.cli.choices import FOLDER, skip_bad_option
from icecore.cli.connection import Connection, connected
from icecore.cli.demonstration.digits import draw_digits
from icecore.cli.folders import labelled_files
from icecore.cli.help import command
from icecore.cli.output import console_of, print_line
from icecore.cli.readable import require_readable

DRAWN, OWN = "demo", "demo-own"
"""Names of the collection and of the probe: with the images drawn for it, with the user's."""


@command(
    "demo",
    examples="""
    icecore demo                                  # handwritten digits, drawn for it
    icecore demo --images photos                  # photos/ant/1.jpg, photos/bee/1.jpg, ...
    """,
)
@click.option(
    "--images", type=FOLDER, metavar="DIR", help="Your own images, one sub-folder a class."
)
@click.option(
    "--out",
    type=FOLDER,
    default="demo-out",
    show_default=True,
    metavar="DIR",
    help="Where the pictures go, and the data unless --data or a server is given.",
)
@skip_bad_option
@connected
def demo(connection: Connection, images: Path | None, out: Path, skip_bad: bool) -> None:
    """Do the main job on real images, and draw the results.

    Brings labelled images into the collection "demo" ("demo-own" with --images),
    trains a probe at several depths of a frozen network, predicts images kept away
    from training, and searches for look-alikes. A second run sends only what has
    changed, and removes what is no longer there.
    """
    from icecore.cli.demonstration import story  # draws, and so takes a second to import

    start = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    connection = _settled(connection, out)
    name = DRAWN if images is None else OWN

    _heading("1. Images")
    folder = out / "images" if images is None else images
    if images is None:
        n_drawn = draw_digits(folder)
        print_line(f"Drew {n_drawn:,} handwritten digits of scikit-learn's set as pictures.")
    files = labelled_files(folder)
    divided = story.split(files)
    left_out = require_readable(divided.left_out, lambda file: file.path, skip_bad=skip_bad)
    divided = replace(divided, left_out=tuple(left_out))
    print_line(f"In {str(folder)!r}: {bringing.described(files)}; {len(left_out):,} are kept away.")

    with connection.client() as client:
        _heading("2. A collection, with codes from every depth of a frozen network")
        if not connection.is_elsewhere:
            print_line(f"Server of the data folder {str(connection.data)!r};")
            print_line("a new folder's builds EfficientNet-Lite0 first, with its ImageNet weights.")
        client.connect()
        story.bring_in(client, name, divided.kept, skip_bad=skip_bad)

        _heading("3. A probe, trained at several depths")
        version = story.train_at_depths(client, name, out)

        _heading("4. Predictions for the images kept away")
        story.predict_left_out(client, name, divided.left_out)

        _heading("5. Search for look-alikes")
        story.search_look_alikes(client, name, version, divided, out)

    _heading(f"Done in {time.monotonic() - start:.0f} s. Look at")
    print_line(f"  {out / story.PLOT}    accuracy against depth")
    print_line(f"  {out / story.SHEET}          the look-alikes")
    _say_next(connection, name, folder)


def _settled(connection: Connection, out: Path) -> Connection:
    """The connection, with a data folder below `out` where neither option nor environment says."""
    if connection.is_elsewhere or connection.data is not None:
        return connection
    named = os.environ.get("ICECORE_DATA")
    return replace(connection, data=Path(named) if named else out / "data")


def _say_next(connection: Connection, name: str, folder: Path) -> None:
    program = sys.argv[0]
    if shutil.which("icecore") == str(Path(program).absolute()) or "icecore" not in program:
        program = "icecore"
    _heading("Next, with a folder of your own (one sub-folder a class)")
    print_line(f"  {program} train-probe NAME DIR")
    print_line(f"  {program} predict NAME IMAGE...")
    print_line(f"  {program} search NAME IMAGE... -k 5")
    if connection.is_elsewhere:
        return
    an_image = next(iter(labelled_files(folder))).path
    print_line()
    print_line("and with what this demo has trained")
    print_line(f"  {program} probes show {name} --data {connection.data}")
    print_line(f"  {program} predict {name} {an_image} --data {connection.data}")


def _heading(text: str) -> None:
    sys.stdout.flush()
    print_line()
    console_of(sys.stdout).print(Text(text, style="bold"))
    sys.stdout.flush()

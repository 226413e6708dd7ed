"""`icecore backbones check`: a recipe tried on labelled photos."""

from pathlib import Path

import click

from icecore.cli import names
from icecore.cli.backbone_words import recipe_json, recipe_toml, recipe_words
from icecore.cli.choices import FOLDER, Whole, json_option, skip_bad_option
from icecore.cli.connection import Connection, connected
from icecore.cli.folders import labelled_files, require_place
from icecore.cli.help import command
from icecore.cli.mistakes import Mistake
from icecore.cli.names import completing
from icecore.cli.output import Column, note, print_json, print_line, print_table
from icecore.cli.progress import working
from icecore.cli.readable import require_readable
from icecore.cli.spreading import spread
from icecore.client import LabelledImage, RecipeReport


@command(
    "check",
    examples="""
    icecore backbones check resnet50 photos               # photos/ant/1.jpg, photos/bee/1.jpg, ...
    icecore backbones check resnet50 photos --classes imagenet.txt --limit 200
    icecore backbones check resnet50 photos --write better.toml
    """,
)
@click.argument("name", shell_complete=completing(names.backbones))
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option(
    "--classes",
    type=FOLDER,
    metavar="FILE",
    help="Names of the network's classes, one a line: then the labels are compared with them.",
)
@click.option(
    "--limit", type=Whole(min=4), default=100, show_default=True, help="Photos, spread evenly."
)
@click.option(
    "--write",
    type=FOLDER,
    metavar="FILE.toml",
    help="Write the suggested recipe here, for 'icecore backbones add --recipe'.",
)
@skip_bad_option
@json_option
@connected
def check(
    connection: Connection,
    name: str,
    folder: Path,
    classes: Path | None,
    limit: int,
    write: Path | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Try a backbone's recipe, and others, on labelled photos.

    A wrong mean or channel order costs accuracy and says nothing. DIR holds one
    sub-folder a class. Another recipe is suggested only where it clearly fits better.

    "top-1" is the share of labels that the network names first (with --classes), "mean
    probability" that of the class it names first, "probe, held out" the accuracy
    of a small probe on its last codes. Recipes that fit badly see the first photos only.
    """
    if write is not None:
        require_place(write)
    class_names = _lines(classes) if classes is not None else []
    files = spread(labelled_files(folder), limit)
    files = require_readable(files, lambda file: file.path, skip_bad=skip_bad)
    images = [LabelledImage(file.path, file.label) for file in files]
    with (
        connection.administrator() as client,
        working(f"trying recipes of {name!r} on {len(images)} photos", 1.0) as work,
    ):
        report = client.check_recipe(name, images, class_names=class_names, on_progress=work.reach)
    if write is not None and report.suggested is not None:
        write.write_text(recipe_toml(report.suggested.recipe), encoding="utf-8")
    if write is not None and report.suggested is None:
        note(f"{str(write)!r} is not written, as no other recipe is suggested")
    if as_json:
        print_json(_report_json(report))
        return
    columns = [Column("recipe")]
    columns += [
        Column(title, is_number=True)
        for title in ("photos", "top-1", "mean probability", "probe, held out")
    ]
    rows = [
        (
            one.change or "as stored",
            one.n_images,
            _percent(one.accuracy),
            _percent(one.confidence),
            _percent(one.agreement),
        )
        for one in report.trials
    ]
    chosen = report.suggested or report.trials[0]
    print_table(columns, rows, marked=report.trials.index(chosen))
    print_line()
    print_line(report.verdict)
    if report.suggested is not None:
        print_line(f"suggested: {recipe_words(report.suggested.recipe)}")
        if write is not None:
            note(f"{str(write)!r} has it: icecore backbones add {name} FILE.onnx --recipe {write}")
        else:
            note("--write FILE.toml keeps it, for 'icecore backbones add --recipe FILE.toml'")


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise Mistake(f"{str(path)!r} is not text in UTF-8") from None
    if not any(lines):
        raise Mistake(f"{str(path)!r} names no classes")
    return [line for line in lines if line]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _report_json(report: RecipeReport) -> dict[str, object]:
    trials = [
        {
            "change": one.change,
            "accuracy": one.accuracy,
            "confidence": one.confidence,
            "agreement": one.agreement,
            "n_images": one.n_images,
            "recipe": recipe_json(one.recipe),
        }
        for one in report.trials
    ]
    suggested = None if report.suggested is None else report.trials.index(report.suggested)
    return {
        "n_images": report.n_images,
        "trials": trials,
        "suggested": None if suggested is None else trials[suggested],
        "verdict": report.verdict,
    }

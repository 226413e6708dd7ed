"""`icecore predict`: what a probe says of images."""

from collections.abc import Iterator
from pathlib import Path

import click

from icecore.cli import names
from icecore.cli.choices import FOLDER, Whole, json_option, skip_bad_option
from icecore.cli.connection import Connection, connected
from icecore.cli.folders import image_files
from icecore.cli.help import command
from icecore.cli.names import completing
from icecore.cli.output import Column, print_json, print_table
from icecore.cli.progress import working
from icecore.cli.readable import require_readable
from icecore.client import Client, Prediction


@command(
    "predict",
    examples="""
    icecore predict ants-bees new.jpg more-photos
    icecore predict ants-bees photos --json | jq -r 'select(.probability < 0.8) | .path'
    """,
)
@click.argument("name", shell_complete=completing(names.probes))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=FOLDER)
@click.option(
    "--version", type=Whole(min=1), metavar="N", help="A version; without it, the promoted one."
)
@skip_bad_option
@json_option
@connected
def predict(
    connection: Connection,
    name: str,
    paths: tuple[Path, ...],
    version: int | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Label images, from files or folders, with a probe.

    With --json one object a line: path, label, probability (null for an SVM),
    and each class's score: logits, or an SVM's decision values.
    """
    files = image_files(paths)
    with connection.client() as client:
        client.probe(name)  # a wrong name is found before the files are read
        files = require_readable(files, lambda path: path, skip_bad=skip_bad)
        if as_json:
            for path, one in zip(files, _predict(client, name, files, version), strict=True):
                print_json(prediction_json(path, one))
            return
        with working("predicting", len(files), unit="images") as work:
            found = []
            for one in _predict(client, name, files, version):
                found.append(one)
                work.advance()
    rows = [(path, one.label, _sureness(one)) for path, one in zip(files, found, strict=True)]
    is_svm = all(one.probability is None for one in found)
    last = Column("score" if is_svm else "probability", is_number=True)
    print_table([Column("path"), Column("label"), last], rows)


def prediction_json(path: Path, prediction: Prediction) -> dict[str, object]:
    return {
        "path": str(path),
        "label": prediction.label,
        "probability": prediction.probability,
        "scores": dict(prediction.scores),
    }


def _predict(
    client: Client, name: str, files: list[Path], version: int | None
) -> Iterator[Prediction]:
    return client.predict_stream(name, files, version=version or 0)


def _sureness(prediction: Prediction) -> str:
    if prediction.probability is None:
        return f"{prediction.scores[prediction.label]:.3f}"
    return f"{prediction.probability:.3f}"

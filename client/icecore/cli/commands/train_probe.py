"""`icecore train-probe`: labelled images in, a probe version out."""

from dataclasses import replace
from pathlib import Path

import click

from icecore.cli import bringing, names
from icecore.cli.choices import (
    FOLDER,
    accuracy_of,
    activation_option,
    backbone_option,
    chosen_pool_option,
    json_option,
    kind_option,
    layer_options,
    not_worse_option,
    prune_option,
    seed_option,
    skip_bad_option,
)
from icecore.cli.connection import Connection, connected
from icecore.cli.folders import labelled_files
from icecore.cli.going_on import (
    backbone_of,
    base_option,
    base_version,
    require_nothing_beside,
)
from icecore.cli.help import command
from icecore.cli.jobs import Wanted, percent, print_trials, require_taps, train, version_json
from icecore.cli.mistakes import Mistake
from icecore.cli.names import completing
from icecore.cli.output import note, one_line, print_json, print_line
from icecore.cli.poolings import print_poolings
from icecore.cli.version_words import (
    done_to_codes,
    going_over,
    joined_or_not,
    reads,
)
from icecore.client import Client, NotFound, ProbeVersion


@command(
    "train-probe",
    examples="""
    icecore train-probe ants-bees photos                  # photos/ant/1.jpg, photos/bee/1.jpg, ...
    icecore train-probe ants-bees photos --kind svm --layer -1
    icecore train-probe cells --collection blood --layer 20 --layer 25 --layer 33
    icecore train-probe cells --collection blood --layer all   # several layers joined
    icecore train-probe cells photos --backbone resnet50  # of 'icecore backbones'
    icecore train-probe ants-bees photos --not-worse-by 2 # else the promoted one stays
    icecore train-probe ants-bees photos --base promoted  # more images or classes, in seconds
    icecore train-probe ants-bees photos --json | jq .accuracy
    """,
)
@click.argument("name", shell_complete=completing(names.probes))
@click.argument("folder", metavar="[DIR]", required=False, type=FOLDER)
@click.option(
    "--collection",
    metavar="C",
    shell_complete=completing(names.collections),
    help="Train on a collection as it is.",
)
@kind_option
@layer_options(
    "auto",
    "A depth or a name, again for several to choose from; auto: every depth; all: as many as are "
    "of use, read together.",
)
@backbone_option
@chosen_pool_option
@activation_option
@seed_option
@click.option("--no-promote", is_flag=True, help="Leave the promoted version where it is.")
@not_worse_option
@base_option
@prune_option
@skip_bad_option
@json_option
@connected
def train_probe(
    connection: Connection,
    name: str,
    folder: Path | None,
    collection: str | None,
    kind: str,
    layers: tuple[str, ...],
    backbone: str,
    pooling: str,
    activation: str,
    seed: int,
    no_promote: bool,
    not_worse_by: float | None,
    base: int | str | None,
    prune: bool,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Train a probe on a folder of images, or on a collection.

    DIR holds one sub-folder a class. It is brought into a collection of the
    probe's name first: new files are added, changed ones replaced. Layer and C
    are chosen by cross-validation; the accuracy comes from outer folds that
    chose neither. With --base nothing is chosen: images and classes may be new.
    """
    if (folder is None) == (collection is None):
        raise Mistake("give DIR, one sub-folder a class, or --collection C, and not both")
    if collection is not None and (prune or skip_bad or backbone):
        raise Mistake("--prune, --skip-bad and --backbone go with DIR, not with --collection")
    if no_promote and not_worse_by is not None:
        raise Mistake("--not-worse-by says when to promote, and --no-promote not to: give one")
    if base is not None:
        require_nothing_beside(click.get_current_context())
    wanted = Wanted(
        None if base is not None else kind,
        layers,
        activation,
        pooling,
        seed,
        promote=not no_promote,
        not_worse_by=accuracy_of(not_worse_by),
    )
    with connection.client() as client:
        if base is not None:
            earlier = base_version(client, name, base)
            backbone = backbone_of(client, collection or name, earlier)
            wanted = replace(wanted, base_version=earlier.version)
        if folder is not None:
            files = labelled_files(folder)
            if base is None:
                require_taps(client, name, backbone, wanted)
            plan = bringing.plan(
                client, name, files, backbone=backbone, prune=prune, skip_bad=skip_bad
            )
            bringing.require_trainable(plan)
            note(str(bringing.bring(client, plan, skip_bad=skip_bad)))
        before = _promoted(client, name)
        version = train(client, name, collection or name, wanted)
    if as_json:
        print_json(version_json(version))
    else:
        _print(version)
        for line in going_over(before, version, is_guarded=not_worse_by is not None):
            print_line(line)


def _promoted(client: Client, name: str) -> ProbeVersion | None:
    try:
        probe = client.probe(name)
    except NotFound:
        return None
    return next((one for one in probe.versions if one.is_promoted), None)


def _print(version: ProbeVersion) -> None:
    # Of one candidate there is nothing to choose, and its own figure would be a second one.
    if not version.is_choice_kept and len(version.trials) > 1:
        print_trials(version)
        print_line()
    if version.pooling_trials:
        print_poolings(version)
        print_line()
    layer = f" at {reads(version)}" if version.taps else ""
    promoted = ", promoted" if version.is_promoted else ""
    print_line(
        f"{version.probe_id} version {version.version}{promoted}: {version.kind.value}, "
        f"C = {version.C:g}{layer}{done_to_codes(version.preprocessing)}"
    )
    trained = (
        f"from {version.n_images:,} images of {len(version.classes):,} classes, "
        f"in {version.seconds:.1f} s"
    )
    if version.joined_gain is not None:
        print_line(joined_or_not(version.joined_gain))
    if version.accuracy is not None:
        estimate, interval = percent(version.accuracy)
        of_what = "on images that chose neither layer nor C"
        if version.is_choice_kept:
            of_what = f"on the {version.n_judged:,} images that are new, each held out"
        elif version.n_layers == 1:
            of_what = "on images that did not choose C, at the layer given"
        print_line(f"accuracy {of_what}: {estimate} (95 % interval {interval}), {trained}")
    elif version.is_choice_kept:
        print_line(f"no image is new, so that none can judge it; {trained}")
    if version.is_choice_kept:
        print_line(
            f"kind, layer, preprocessing and C are those of version {version.base_version}, and "
            "fitting began at its weights where they were of use; train without --base to choose "
            "anew, and for the "
            "accuracy over all images"
        )
    if version.not_promoted_message:
        print_line(f"not promoted: {one_line(version.not_promoted_message)}")

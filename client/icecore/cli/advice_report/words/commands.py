"""The commands of the steps, as they can be pasted into a shell."""

import shlex
from dataclasses import dataclass
from typing import Final

from icecore.cli.advice_report import places
from icecore.cli.advice_report.words.joined import is_offered
from icecore.cli.output import printable
from icecore.client import ProbeKind
from icecore.client.advice_values import Advice

FOLDER: Final = "DIR"
"""Stands for the folder with the images, where that is not known."""

MOST_IMAGES: Final = 20_000
"""What one advice looks at, at most; the server says no to more."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the advice does not tell: where its images came from.

    `folder` is "" where a collection was judged as it is; `name` is the collection's where it is
    not called as the folder is; `backbone` is the collection's own, "" where that is not known;
    `flags` say which server has it.
    """

    folder: str = ""
    name: str = ""
    backbone: str = ""
    flags: tuple[str, ...] = ()


UNKNOWN: Final = Origin()


def training(advice: Advice, origin: Origin = UNKNOWN) -> str:
    """Return the command that trains the probe at the chosen place, or over all that is offered."""
    place = advice.chosen
    layer = place.layer if place.depth is None else str(place.depth)
    if is_offered(advice):
        layer = "all"
    if _is_own(advice, origin):
        # A folder is brought into the collection of the probe's name, which is this one.
        source = [origin.folder] if origin.folder else ["--collection", advice.collection_id]
    else:
        # A collection keeps to one backbone, which is another.
        source = [origin.folder or FOLDER, "--backbone", place.backbone]
    kind = [] if advice.kind == ProbeKind.SOFTMAX else ["--kind", advice.kind]
    name = probe_name(advice, origin)
    return _command(origin, "train-probe", name, *source, "--layer", layer, *kind)


def predicting(advice: Advice, origin: Origin = UNKNOWN) -> str:
    """Return the command that names new images with it."""
    return _command(origin, "predict", probe_name(advice, origin), "NEW-IMAGES")


def probe_name(advice: Advice, origin: Origin = UNKNOWN) -> str:
    """Return what the probe is called: as the collection, which may have one for each backbone."""
    own = _is_own(advice, origin)
    return advice.collection_id if own else f"{advice.collection_id}-{advice.chosen.backbone}"


def asking_again(advice: Advice, origin: Origin = UNKNOWN, *, max_images: int = 0) -> str:
    """Return the command that asks for an advice again, with new images where a folder is known."""
    most = ["--max-images", str(min(max_images, MOST_IMAGES))] if max_images else []
    return _command(origin, "advise", *_source(advice, origin), *most)


def asking_another(advice: Advice, origin: Origin = UNKNOWN) -> tuple[str, ...]:
    """Return the commands that list the networks there are, and judge another one."""
    other = _command(origin, "advise", *_source(advice, origin), "--backbone", "OTHER")
    return _command(origin, "backbones", "list"), other


def _source(advice: Advice, origin: Origin) -> list[str]:
    if not origin.folder:
        return ["--collection", advice.collection_id]
    return [origin.folder, *(["--name", origin.name] if origin.name else [])]


def _is_own(advice: Advice, origin: Origin) -> bool:
    if origin.backbone:
        return advice.chosen.backbone == origin.backbone
    return len(places.backbones(advice)) <= 1


def _command(origin: Origin, *words: str) -> str:
    return printable(shlex.join(["icecore", *words, *origin.flags]))

"""Folders of images: one sub-folder a class, an example's id being its relative path.

Reads names only; whether a file is an image is `readable`'s question.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from icecore.cli.mistakes import Mistake

LEFT_BY_SYSTEMS = {"thumbs.db", "desktop.ini"}
"""Files that nobody put there. Those whose name starts with a dot are passed over too."""


@dataclass(frozen=True, slots=True, order=True)
class LabelledFile:
    """An image of a class: `example_id` is its path below the folder, with "/"."""

    example_id: str
    path: Path
    label: str


def labelled_files(folder: Path) -> list[LabelledFile]:
    """Return the files of a folder that holds one sub-folder a class, by id.

    A class may have sub-folders of its own, or be a link to a folder; links to
    folders below it are not followed. Files beside the classes are not looked at.

    Raises:
        Mistake: no folder, no class in it, no image in a class, or a name that is not UTF-8.
    """
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise Mistake(f"{str(folder)!r} {what}; it must be a folder with one sub-folder a class")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not _is_passed(path))
    if not classes:
        loose = sum(1 for path in folder.iterdir() if path.is_file() and not _is_passed(path))
        beside = "1 loose file" if loose == 1 else f"{loose:,} loose files"
        what = f"has {beside}, but no sub-folder a class" if loose else "is empty"
        raise Mistake(f"folder {str(folder)!r} {what}: put images into CLASS/FILE below it")
    found = []
    for one in classes:
        files = [
            LabelledFile(path.relative_to(folder).as_posix(), path, one.name)
            for path in _files_below(one)
        ]
        if not files:
            raise Mistake(
                f"class folder {str(one)!r} holds no image: add some, or take the folder away"
            )
        found += files
    for file in found:
        _check_text(file)
    return sorted(found)


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Return files as they are given, and all files below each folder, by path.

    Raises:
        Mistake: a path that does not exist, or a folder without files.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = list(_files_below(path))
            if not below:
                raise Mistake(f"folder {str(path)!r} holds no image")
            found += below
        elif path.exists():
            found.append(path)
        else:
            raise Mistake(f"{str(path)!r} does not exist")
    return found


def require_place(path: Path, suffix: str = "") -> None:
    """See that a file can be written there, before any work is done for it.

    Raises:
        Mistake: a folder, in no folder, or another ending than `suffix`.
    """
    if path.is_dir():
        raise Mistake(f"{str(path)!r} is a folder, but must be a file to write")
    if not path.parent.is_dir():
        raise Mistake(f"{str(path)!r} cannot be written: there is no folder {str(path.parent)!r}")
    if path.suffix.lower() != suffix and suffix:
        raise Mistake(f"{str(path)!r} must end in {suffix}")


def classes_of(files: Iterable[LabelledFile]) -> dict[str, int]:
    """Return how many files each class has, by name."""
    counts: dict[str, int] = {}
    for file in files:
        counts[file.label] = counts.get(file.label, 0) + 1
    return dict(sorted(counts.items()))


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not _is_passed(path):
                yield path


def _refuse(error: OSError) -> None:
    raise error  # os.walk would pass over a folder that may not be read


def _is_passed(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in LEFT_BY_SYSTEMS


def _check_text(file: LabelledFile) -> None:
    try:
        file.example_id.encode()
    except UnicodeEncodeError:
        raise Mistake(
            f"the name of {str(file.path)!r} is not UTF-8, and ids are: rename the file"
        ) from None

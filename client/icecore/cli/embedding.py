"""Brings the codes of many files into a part file, and from there into a file of codes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icecore.cli.codes_files.part_file import FileState, PartFile
from icecore.cli.codes_files.rows import Rows
from icecore.cli.codes_files.writing import write_whole
from icecore.cli.mistakes import Interrupted, Mistake
from icecore.cli.output import note
from icecore.cli.progress import working
from icecore.cli.readable import Unreadable, fault, reason, report_skipped, sentence
from icecore.client import Backbone, Client, IcecoreError, Priority, RefusedImage

FEW = 32
"""So many images somebody waits for; more run in the time that others leave."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What codes are wanted; `downscale` is not of their identity: it keeps every bit."""

    backbone: Backbone
    layers: tuple[str, ...]
    activation: str
    pooling: str
    dtype: str
    downscale: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """What an interrupted command must have asked for to be gone on with."""
        return {
            "digest": self.backbone.digest,
            "layers": list(self.layers),
            "activation": self.activation,
            "pooling": self.pooling,
            "dtype": self.dtype,
        }


def bring_codes(
    client: Client, asked: Asked, files: Sequence[Path], part: PartFile
) -> list[Unreadable]:
    """Bring the codes of all files that have none in `part` yet; return those refused.

    Raises:
        Interrupted: Ctrl-C; what has codes stays.
        KeyboardInterrupt: Ctrl-C before the first codes.
        IcecoreError: the server's; likewise.
    """
    distinct = list(dict.fromkeys(files))
    missing = [path for path in distinct if not _is_done(path, part)]
    done = len(distinct) - len(missing)
    if done:
        note(f"{done:,} of {len(distinct):,} images have codes in {str(part.path)!r} already")
    bad: list[Unreadable] = []
    try:
        with working("embedding", len(distinct), unit="images", done=done) as work:
            for n_images, refused in _bring(client, asked, missing, part):
                bad += refused
                work.advance(n_images)
    except KeyboardInterrupt:
        if not len(part):
            raise
        raise Interrupted(f"interrupted; {_kept(part, distinct)}") from None
    except (IcecoreError, OSError):
        if len(part):
            note(_kept(part, distinct))
        raise
    return bad


def write_codes(
    out: Path,
    files: Sequence[Path],
    part: PartFile,
    bad: Sequence[Unreadable],
    *,
    skip_bad: bool,
) -> None:
    """Write `out` from the part file, which is removed then.

    Raises:
        Mistake: some files have no codes (unless `skip_bad`), or none has.
    """
    unreadable = {one.path for one in bad}
    good = [path for path in files if path not in unreadable]
    if not good:
        raise Mistake(sentence(bad))
    if bad and not skip_bad:
        them = "it" if len(bad) == 1 else "them"
        raise Mistake(
            f"{sentence(bad)}; --skip-bad leaves {them} out. The others' codes are kept in "
            f"{str(part.path)!r}, and the same command goes on from there"
        )
    report_skipped(bad)
    rows = Rows(part, good)
    with working(f"writing {str(out)!r}", 1.0, is_aside=True):
        write_whole(out, rows)
    part.remove()
    shapes = [f"{one.tap} {(len(good), *one.shape)}" for one in rows.columns]
    more = f" and {len(shapes) - 5} more" if len(shapes) > 5 else ""
    note(f"{str(out)!r}: {', '.join(shapes[:5])}{more}")


def _bring(
    client: Client, asked: Asked, missing: Sequence[Path], part: PartFile
) -> Iterator[tuple[int, list[Unreadable]]]:
    """Yield how many images are done with, and those refused, batch after batch."""
    sent: list[Path] = []
    states: dict[int, FileState] = {}
    gone: list[Unreadable] = []

    def looked_at() -> Iterator[Path]:
        for path in missing:
            try:
                # Before it is read: a file that changes meanwhile is another one next time.
                state = FileState.of(path)
            except OSError as error:
                # Left alone, also if it is there a moment later: nobody knows what was read.
                gone.append(Unreadable(path, reason(error)))
                continue
            states[len(sent)] = state
            sent.append(path)
            yield path

    for batch in client.embed_many(
        looked_at(),
        backbone=asked.backbone.name,
        layers=asked.layers,
        activation=asked.activation,
        pooling=asked.pooling,
        dtype=asked.dtype,
        priority=Priority.BULK if len(missing) > FEW else Priority.INTERACTIVE,
        on_error="skip",
        downscale=asked.downscale,
    ):
        if batch.codes and batch.codes[0].tap.digest != asked.backbone.digest:
            raise Mistake(f"backbone {asked.backbone.name!r} was replaced meanwhile: begin again")
        part.append([states.pop(index) for index in batch.indices], batch.codes)
        for one in batch.refused:
            del states[one.index]
        bad = [_unreadable(one, sent[one.index]) for one in batch.refused]
        yield len(batch) + len(bad), bad
    yield len(gone), gone


def _is_done(path: Path, part: PartFile) -> bool:
    try:
        return FileState.of(path) in part
    except OSError:
        return False


def _unreadable(refused: RefusedImage, path: Path) -> Unreadable:
    try:
        why = fault(path)
    except OSError:
        why = None
    return Unreadable(path, why or refused.message.removeprefix(f"{str(path)!r} "))


def _kept(part: PartFile, files: Sequence[Path]) -> str:
    return (
        f"codes of {len(part):,} of {len(files):,} images are kept in {str(part.path)!r}, "
        "and the same command goes on from there"
    )

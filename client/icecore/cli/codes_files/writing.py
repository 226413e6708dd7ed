"""Which kind of file is written, and that it is there whole or not at all."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

from icecore.cli.codes_files.arrow import pyarrow, write_ipc, write_parquet
from icecore.cli.codes_files.frames import sync_folder
from icecore.cli.codes_files.npz import write_npz
from icecore.cli.codes_files.rows import Rows
from icecore.cli.mistakes import Mistake

Write: TypeAlias = Callable[[Path, Rows], None]

KINDS: Final[dict[str, Write]] = {
    ".npz": write_npz,
    ".parquet": write_parquet,
    ".arrow": write_ipc,
    ".feather": write_ipc,
}


def require_writable(out: Path, paths: Iterable[Path]) -> None:
    """See that codes of these files can be written to `out`, before any work is done for it.

    Raises:
        Mistake: another suffix, no pyarrow, no folder, or a name that the kind cannot hold.
    """
    if out.suffix not in KINDS:
        *most, last = KINDS
        raise Mistake(f"--out is {str(out)!r}, but must end in {', '.join(most)} or {last}")
    if out.is_dir():
        raise Mistake(f"--out is {str(out)!r}, which is a folder")
    if not out.absolute().parent.is_dir():
        raise Mistake(f"there is no folder {str(out.absolute().parent)!r} to write {out.name!r} to")
    if out.suffix != ".npz":
        pyarrow()
        for path in paths:
            try:
                str(path).encode()
            except UnicodeEncodeError:
                raise Mistake(
                    f"the name of {str(path)!r} is not UTF-8, and {out.suffix} files hold no "
                    "other: rename it, or write an .npz"
                ) from None


def write_whole(out: Path, rows: Rows) -> None:
    """Write all rows to `out`, replacing it when they are all on the disk.

    The part file's lock keeps others away from the file beside it meanwhile.
    """
    part = out.with_name(f".{out.name}.tmp")
    try:
        KINDS[out.suffix](part, rows)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(out)
        sync_folder(out.parent)  # before the part file goes, which holds the same codes
    finally:
        part.unlink(missing_ok=True)

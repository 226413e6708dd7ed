"""The report's file, which is there whole or not at all."""

import os
import secrets
from pathlib import Path

from icecore.cli.advice_report.words.commands import UNKNOWN, Origin
from icecore.cli.codes_files.frames import sync_folder
from icecore.client.advice_values import Advice


def write(advice: Advice, path: Path, origin: Origin = UNKNOWN) -> None:
    """Write the report to `path`, replacing what is there when all of it is on the disk.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    from icecore.cli.advice_report.page import page  # with what draws, which takes a while

    # A name that is not UTF-8 comes as halves of surrogate pairs, which no UTF-8 file holds.
    text = page(advice, origin).encode("utf-8", "backslashreplace")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with part.open("xb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.absolute().parent)
    finally:
        part.unlink(missing_ok=True)

"""`python -m icecore.server`: serve one data folder until a signal.

Exit status: 0 ended as asked, 2 the caller's mistake, 3 the server's. Errors are
one line on standard error.
"""

import asyncio
import contextlib
import errno
import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from icecore.server import telemetry
from icecore.server.errors import FailedPrecondition, IcecoreError, InvalidArgument
from icecore.server.rpc.ending import AskedToEnd, Ending
from icecore.server.settings import HelpWanted, Settings, SettingsInvalid, read_settings

# What gRPC would say of a port in use we say ourselves, in one line. To be set before its import.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

SWITCH_S = 0.0005
"""A thread that computes in Python lets another go on after so long. With Python's own 5 ms each
change of threads of a call waits as long while a graph is read, or a snapshot of examples."""

_MACHINES_FAULT = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments)
    except HelpWanted as text:
        print(text, end="")
        return 0
    except SettingsInvalid as error:
        return _fail(2, str(error))
    telemetry.log_to(sys.stderr)
    try:
        asyncio.run(_serve(settings))
    except (SettingsInvalid, InvalidArgument, FailedPrecondition) as error:
        return _fail(2, str(error))
    except IcecoreError as error:
        return _fail(3, error.message)
    except ModuleNotFoundError as error:
        return _fail(2, f"the server needs {error.name!r}: pip install 'icecore[server]'")
    except OSError as error:
        status = 3 if error.errno in _MACHINES_FAULT else 2
        return _fail(status, f"cannot serve {str(settings.data)!r}: {_why(error, settings.data)}")
    except Exception as error:  # the last door: nothing above it would report the fault
        telemetry.log_fault("fault", error)
        return _fail(3, f"{type(error).__name__}: {error}")
    return 0


def _why(error: OSError, data: Path) -> str:
    if error.filename is None or Path(error.filename) != data:
        return str(error)
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "it is a file, but must be a folder, or not be there yet"
    return f"the folder cannot be made or opened ({error.strerror})"


async def _serve(settings: Settings) -> None:
    ending = Ending()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.ask)  # while the parts are imported and built too
    # What is made until it serves mostly stays: looking through it for garbage, again and again,
    # takes a tenth of the start, and later stops all calls at once for a moment.
    gc.disable()
    sys.setswitchinterval(SWITCH_S)
    from icecore.server.app import serving

    with contextlib.suppress(AskedToEnd):
        async with serving(settings, ending=ending) as app:
            gc.collect()
            gc.freeze()
            gc.enable()
            await app.wait()


def _fail(status: int, sentence: str) -> int:
    print(f"icecore.server: {' '.join(sentence.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

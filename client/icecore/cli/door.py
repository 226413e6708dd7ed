"""The command line's border: here errors become one line and an exit status.

    0  done
    2  the caller's mistake: a wrong flag, name or file, a key that may not
    3  the server's side: not there, too slow, full, broken

Ctrl-C and a closed pipe end the command as their signals do (130 and 141).
"""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click
from click.shell_completion import shell_complete

from icecore.cli.app import cli
from icecore.cli.connection import Connection
from icecore.cli.mistakes import Interrupted, Mistake
from icecore.cli.output import one_line
from icecore.client import (
    Cancelled,
    DeadlineExceeded,
    IcecoreError,
    Internal,
    LocalServerError,
    Reason,
    ResourceExhausted,
    TapsDiffer,
    TrainingFailed,
    Unavailable,
    Unimplemented,
    VersionState,
)
from icecore.client.errors import (
    FOLDER_UNUSABLE,
    INSECURE_TRANSPORT,
    SERVER_REFUSED,
    TLS_NOT_SPOKEN,
    TLS_WANTED,
)

DONE: Final = 0
CALLERS: Final = 2
SERVERS: Final = 3

COMPLETE_VARIABLE: Final = "_ICECORE_COMPLETE"
"""Set by the scripts of `icecore completion` when they ask for candidates."""

DEBUG_VARIABLE: Final = "ICECORE_DEBUG"

HINTS: Final[dict[str, str]] = {
    Reason.KEY_REQUIRED: (
        "--key or ICECORE_KEY; 'icecore tenants create-key TENANT' makes one, "
        "and what was done without a key is of the tenant 'default'"
    ),
    Reason.ADMIN_REQUIRED: "--key or ICECORE_KEY; the server's data folder has it in admin.key",
    INSECURE_TRANSPORT: "--ca, --tls or --insecure-transport",
    Reason.IMAGES_NOT_KEPT: "'icecore collections create' does, unless --no-keep-images is given",
    TLS_WANTED: "--ca or --tls",
    TLS_NOT_SPOKEN: "leave --ca, ICECORE_CA and --tls out, or start the server with --tls-cert",
    FOLDER_UNUSABLE: "--data names another",
}
"""How a word of the server's is said on the command line."""

_ABOUT_KEYS = {Reason.KEY_UNKNOWN, Reason.ADMIN_REQUIRED, Reason.TENANT_KEY_REQUIRED}

_WITHOUT: Final = {"ICECORE_KEY": ": unset it, or --key gives another"}

_SERVERS = (
    Cancelled,
    DeadlineExceeded,
    Internal,
    LocalServerError,
    Unavailable,
    Unimplemented,
)
_CALLERS_TRAINING = {Reason.CLASSES_TOO_FEW, Reason.CLASS_TOO_SMALL, Reason.COLLECTION_EMPTY}


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status."""
    # A file's name may hold bytes that are not UTF-8, and is printed all the same.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to say
        try:
            return shell_complete(cli, {}, "icecore", COMPLETE_VARIABLE, instruction)
        finally:
            signal.signal(signal.SIGINT, interrupt)
    try:
        status = _run(list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_pipe()
        return _die_of(signal.SIGPIPE)
    except (KeyboardInterrupt, click.Abort):
        return _interrupted("interrupted")
    except Interrupted as interruption:
        return _interrupted(str(interruption))
    except OSError as error:  # the last of the output cannot be written
        _leave_pipe()
        sys.stderr.write(f"icecore: {sentence_of(error)}\n")
        return status_of(error)
    return status


_CALLERS_FOLDER = {FOLDER_UNUSABLE, SERVER_REFUSED}


def status_of(error: Exception) -> int:
    """Return 2 where the caller can do better, 3 where the server's side failed."""
    if isinstance(error, TrainingFailed):
        is_callers = (
            error.version.state is VersionState.CANCELLED
            or error.version.failure_reason in _CALLERS_TRAINING
        )
        return CALLERS if is_callers else SERVERS
    if isinstance(error, ResourceExhausted):
        return CALLERS if error.reason == Reason.MESSAGE_TOO_LARGE else SERVERS
    if isinstance(error, LocalServerError) and error.reason in _CALLERS_FOLDER:
        return CALLERS
    if isinstance(error, _SERVERS):
        return SERVERS
    if isinstance(error, UnicodeEncodeError):
        return CALLERS
    is_known = isinstance(error, Mistake | IcecoreError | TapsDiffer | OSError)
    return CALLERS if is_known or isinstance(error, click.ClickException) else SERVERS


def sentence_of(error: Exception, key_from: str = "") -> str:
    """Return what is said of an error, on one line and without a final stop.

    `key_from` is where the key was read, which one who has forgotten about it is told.
    """
    if isinstance(error, click.ClickException):
        text = error.format_message().strip()
        text = text[:1].lower() + text[1:]
        context = getattr(error, "ctx", None)
        if isinstance(error, click.UsageError) and context is not None:
            text = f"{text.rstrip('.')} (see '{context.command_path} --help')"
    elif isinstance(error, OSError) and error.strerror:
        name = "" if error.filename is None else f"{os.fsdecode(error.filename)!r}: "
        text = name + error.strerror.lower()
    elif isinstance(error, IcecoreError):
        hint = HINTS.get(error.reason)
        if key_from and error.reason in _ABOUT_KEYS:
            hint = f"the key that was sent is that of {key_from}{_WITHOUT.get(key_from, '')}"
        text = f"{error} ({hint})" if hint else str(error)
    elif isinstance(error, UnicodeEncodeError):
        text = f"{error.object!r} is not UTF-8, and names are"
    elif isinstance(error, Mistake | TapsDiffer | OSError):
        text = str(error)
    else:
        text = (
            f"a mistake of icecore's own: {type(error).__name__}: {error} "
            f"({DEBUG_VARIABLE}=1 shows where)"
        )
    return one_line(text).rstrip(".")


def _run(arguments: list[str]) -> int:
    context: click.Context | None = None
    try:
        with cli.make_context("icecore", arguments) as context:
            cli.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (BrokenPipeError, click.Abort, Interrupted):
        raise
    except Exception as error:  # the door: nothing passes it but one line and a status
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError:  # a full disk, perhaps the very error: what is left cannot be written
            _leave_pipe()
        sys.stderr.write(f"icecore: {sentence_of(error, _key_from(context))}\n")
        return status_of(error)
    return DONE


def _key_from(context: click.Context | None) -> str:
    return "" if context is None else Connection.of(context).key_from


def _interrupted(sentence: str) -> int:
    sys.stderr.write(f"icecore: {sentence}\n")
    return _die_of(signal.SIGINT)


def _leave_pipe() -> None:
    """Point standard output nowhere, so that the interpreter's last flush is quiet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _die_of(number: signal.Signals) -> int:
    """End as if the signal had not been caught, so that a shell's loop stops too."""
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number  # where the signal is blocked

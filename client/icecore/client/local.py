"""The server of a data folder: found if it runs, started if not.

A running server writes `server.json` there, with the address of its socket. Ten
clients at once are as good as one: whoever holds `client.lock` starts it, the
others wait and then find it.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from grpc_health.v1 import health_pb2

from icecore.client._where import Embedded, data_folder
from icecore.client.errors import FOLDER_NEW, FOLDER_UNUSABLE, SERVER_REFUSED, LocalServerError
from icecore.client.waiting import Waiting

START_TIMEOUT_S = 180.0
"""The first start of all builds the default backbone, on a slow machine for a minute."""

WATCH_PATH = "/grpc.health.v1.Health/Watch"
WATCH_REQUEST = health_pb2.HealthCheckRequest()
SERVER_FILE = "server.json"
LOG_FILE = "server.log"
ADMIN_KEY_FILE = "admin.key"

_POLL_S = 0.05
_IN_USE = "in use by the server with"
"""What the server says (`FolderInUse`) when another has the folder; a round-trip test holds it."""
_IN_USE_S = 1.0
_ERROR = "icecore.server: "
_CALLERS = 2
"""How a server's error line begins, and its exit status where the caller can do better."""
_NOT_PASSED_ON = {
    f"ICECORE_{name}"
    for name in ("INSECURE_TRANSPORT", "KEY", "LISTEN", "METRICS", "SERVER", "TLS_CERT", "TLS_KEY")
}
"""Variables of this client, or that would make its server listen beyond the folder's socket."""
_NEEDED = (
    "alembic",
    "faiss",
    "onnx",
    "onnxruntime",
    "PIL",
    "prometheus_client",
    "scipy",
    "sklearn",
    "sqlalchemy",
)


def read_admin_key(data: Path | str | None = None) -> str | None:
    """Return the administrator's key that the folder's server left there; None without one.

    Raises:
        OSError: the file is there and cannot be read.
    """
    path = data_folder(data) / ADMIN_KEY_FILE
    return path.read_text().strip() if path.exists() else None


def running_address(folder: Path) -> str | None:
    """Return the address of the server that serves this folder now, if one does.

    A file that no server of ours writes counts as none: the next one replaces it,
    and if there is one nevertheless, its lock tells.
    """
    try:
        address = _written_address(folder)
    except ValueError:
        return None
    if address is None:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address.removeprefix("unix:"))
        except OSError:
            return None  # left behind by one that was killed
    return address


def _written_address(folder: Path) -> str | None:
    """Return what stands in `server.json`; None without one.

    Raises:
        ValueError: it is nothing that a server of ours writes.
    """
    try:
        fields = json.loads((folder / SERVER_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    address = fields.get("address") if isinstance(fields, dict) else None
    if not isinstance(address, str) or not address.startswith("unix:/"):
        raise ValueError("no address of a socket")
    return address


def read_health(data: bytes) -> health_pb2.HealthCheckResponse:
    return health_pb2.HealthCheckResponse.FromString(data)


def is_serving(answer: health_pb2.HealthCheckResponse) -> bool:
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class Search:
    """One client's search for its folder's server, until one answers or time is up."""

    def __init__(self, embedded: Embedded) -> None:
        self._folder = embedded.folder
        self._on_wait = embedded.on_wait
        self._until_idle_s = embedded.until_idle_s
        self._end = time.monotonic() + START_TIMEOUT_S

    def address(self) -> str:
        """Return an address where a server listens; starts one if there is none.

        Raises:
            LocalServerError: it is not installed, ends at once, or does not serve in time.
        """
        address = running_address(self._folder)
        if address is not None:
            return address
        _require_installed()
        is_new = _make_folder(self._folder)
        if is_new and self._on_wait is not None:
            text = f"data folder {str(self._folder)!r} is new: its server is started, which takes "
            text += "some seconds the first time"
            self._on_wait(Waiting(FOLDER_NEW, text, _POLL_S, START_TIMEOUT_S))
        with _start_lock(self._folder, self._end):
            address = running_address(self._folder)  # by whoever held the lock before
            return address or self._start()

    def again(self) -> None:
        """Wait a little: what was found did not answer, being about to end or to begin.

        Raises:
            LocalServerError: time is up.
        """
        self._pause("does not answer")

    def _start(self) -> str:
        while True:
            said_before = _log_size(self._folder)
            process = _spawn(self._folder, self._until_idle_s)
            address = self._await(process)
            if address is not None:
                return address
            sentence = _said(self._folder, said_before)
            if _IN_USE not in sentence:
                raise LocalServerError(
                    f"the server of {str(self._folder)!r} ended at once with status "
                    f"{process.returncode}: {sentence}",
                    reason=SERVER_REFUSED if process.returncode == _CALLERS else "",
                )
            # The one that has it is just starting, and then serves, or just ending.
            _require_known(self._folder)
            retry = time.monotonic() + _IN_USE_S
            while time.monotonic() < retry:
                address = running_address(self._folder)
                if address is not None:
                    return address
                self._pause("does not get the folder")

    def _await(self, process: "subprocess.Popen[bytes]") -> str | None:
        """Return the address once somebody serves the folder; None if the process ended."""
        while process.returncode is None:
            address = running_address(self._folder)
            if address is not None:
                return address
            self._pause("does not serve")
        return running_address(self._folder)

    def _pause(self, what: str) -> None:
        if time.monotonic() >= self._end:
            raise LocalServerError(
                f"the server of {str(self._folder)!r} {what} after {START_TIMEOUT_S:g} s; "
                f"{str(self._folder / LOG_FILE)!r} may say why"
            )
        time.sleep(_POLL_S)


def _require_known(folder: Path) -> None:
    """Refuse the file of a server that has the folder and is none of ours."""
    try:
        _written_address(folder)
    except ValueError:
        raise LocalServerError(
            f"another server has data folder {str(folder)!r}, and {SERVER_FILE} there is not what "
            "one of this version writes: end that server, or name its address"
        ) from None


def _require_installed() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise LocalServerError(
            f"there is no server to call, and none can be started here without {missing[0]!r}: "
            "pip install 'icecore[server]', or name a server (--server, address= or ICECORE_SERVER)"
        )


def _make_folder(folder: Path) -> bool:
    """Make the folder if there is none, and return whether nothing is in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not any(folder.iterdir())
        if is_new:
            folder.chmod(0o700)
    except OSError as error:
        raise LocalServerError(
            f"data folder {str(folder)!r} cannot be made: {(error.strerror or str(error)).lower()}",
            reason=FOLDER_UNUSABLE,
        ) from error
    return is_new


@contextlib.contextmanager
def _start_lock(folder: Path, end: float) -> Iterator[None]:
    """Hold the folder's client lock, which the kernel frees when its holder dies."""
    with (folder / "client.lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise LocalServerError(
                        f"another client has been starting the server of {str(folder)!r} for "
                        f"{START_TIMEOUT_S:g} s"
                    ) from None
                time.sleep(_POLL_S)
        yield


def _spawn(folder: Path, until_idle_s: float) -> "subprocess.Popen[bytes]":
    """Start a server of its own session, so that Ctrl-C here does not end it for others."""
    command = [sys.executable, "-m", "icecore.server", "--data", str(folder)]
    command += ["--until-idle", f"{until_idle_s:g}"]
    descriptor = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            env={name: text for name, text in os.environ.items() if name not in _NOT_PASSED_ON},
        )
    finally:
        os.close(descriptor)
    # Reaps it when it ends before this process does.
    threading.Thread(target=process.wait, name="icecore-server-wait", daemon=True).start()
    return process


def _log_size(folder: Path) -> int:
    path = folder / LOG_FILE
    return path.stat().st_size if path.exists() else 0


def _said(folder: Path, start: int) -> str:
    """Return why a server ended that wrote to the log from `start` on.

    Another that was just ending may have written to it too, so the last line is
    only taken where none is an error's.
    """
    with (folder / LOG_FILE).open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - 65536))
        lines = [line.strip() for line in file.read().decode(errors="replace").split("\n")]
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    return next(reversed(errors or [line for line in lines if line]), "it said nothing")

"""The data folder: where things are in it, who may read it, and the lock on it."""

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import Self

from icecore.server.errors import FolderInUse

MAX_SOCKET_PATH_BYTES = 107
"""Linux's `sun_path` has 108 bytes, the last one for the NUL (unix(7))."""

_LEFT_BEHIND_S = 2.0
"""A server killed while it starts a worker leaves its lock with that for some milliseconds more:

until the worker's exec, which closes it.
"""


class DataFolder:
    """A folder that one server at a time works in.

    Making the object makes the folder, readable by its owner alone. A folder
    that was there and holds other people's files keeps its mode: only the files
    made here are private then.

    Raises:
        OSError: the folder cannot be made or is a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path).expanduser().resolve()
        self._lock: int | None = None
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.database.exists() or not any(self.path.iterdir()):
            self.path.chmod(0o700)

    @property
    def database(self) -> Path:
        return self.path / "icecore.db"

    @property
    def code_cache(self) -> Path:
        """Codes kept beyond a restart; may be deleted at any time."""
        return self.path / "codes.cache"

    @property
    def plans(self) -> Path:
        """How each backbone runs best on this machine, as measured; may be deleted at any time."""
        return self.path / "plans.json"

    @property
    def server_json(self) -> Path:
        """Where a server writes its address while it serves."""
        return self.path / "server.json"

    @property
    def server_log(self) -> Path:
        return self.path / "server.log"

    @property
    def admin_key(self) -> Path:
        return self.path / "admin.key"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def work(self) -> Path:
        """Where training jobs keep their files; nothing in it outlives a server."""
        return self.path / "work"

    def socket(self) -> Path:
        """Return the path of the server's socket; short enough for the system.

        A folder with a long path has its socket in a folder of the user's own in
        the system's temporary folder. Clients read the path from `server.json`.

        Raises:
            OSError: somebody else owns that folder, or its path is too long too.
        """
        here = self.path / "server.sock"
        if len(os.fsencode(here)) <= MAX_SOCKET_PATH_BYTES:
            return here
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        elsewhere = Path(tempfile.gettempdir()) / f"icecore-{os.getuid()}"
        socket = elsewhere / f"{name}.sock"
        if len(os.fsencode(socket)) > MAX_SOCKET_PATH_BYTES:
            raise OSError(
                errno.ENAMETOOLONG,
                f"the socket's path has more than {MAX_SOCKET_PATH_BYTES} bytes: "
                "use a data folder or a TMPDIR with a shorter path",
                str(socket),
            )
        with contextlib.suppress(FileExistsError):
            elsewhere.mkdir(mode=0o700)
        seen = elsewhere.lstat()
        private = stat.S_ISDIR(seen.st_mode) and stat.S_IMODE(seen.st_mode) & 0o077 == 0
        if not private or seen.st_uid != os.getuid():
            raise PermissionError(
                errno.EPERM, "the folder for sockets is not this user's alone", str(elsewhere)
            )
        return socket

    @property
    def is_locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock is not None

    def lock(self) -> None:
        """Take the folder for this object until `unlock` or the process's end, however it ends.

        Raises:
            FolderInUse: another server has it; the sentence names its process.
        """
        if self._lock is not None:
            return
        # The file stays: removing it would let two servers lock two files of one name.
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + _LEFT_BEHIND_S
        while not _taken(descriptor):
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            if time.monotonic() < end and _is_gone(holder):
                time.sleep(0.01)
                continue
            os.close(descriptor)
            raise FolderInUse(
                f"data folder {str(self.path)!r} is in use by the server with "
                f"process id {holder or 'unknown'}: connect to that one, or give this one another "
                "folder",
                folder=str(self.path),
                pid=holder,
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        self._lock = descriptor

    def unlock(self) -> None:
        """Let the folder go. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.lock()
        return self

    def __exit__(self, *error: object) -> None:
        self.unlock()


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_gone(holder: str) -> bool:
    """Whether the process that wrote its number into the lock has ended."""
    try:
        os.kill(int(holder), 0)
    except ProcessLookupError:
        return True
    except (OverflowError, PermissionError, ValueError):
        return False
    return False

"""The data folder: its mode, its paths and its lock."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from icecore.server.errors import FolderInUse
from icecore.server.storage.folder import MAX_SOCKET_PATH_BYTES, DataFolder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_or_empty_folder_is_its_owners_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert mode(DataFolder(tmp_path / "a" / "b").path) == 0o700
    (tmp_path / "c").mkdir(mode=0o755)
    assert mode(DataFolder(tmp_path / "c").path) == 0o700


def test_a_folder_with_other_peoples_files_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").touch()
    assert mode(DataFolder(tmp_path).path) == 0o755
    (tmp_path / "icecore.db").touch()
    assert mode(DataFolder(tmp_path).path) == 0o700


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        DataFolder(tmp_path / "file")


def test_the_lock_is_for_one_and_names_its_holder(tmp_path: Path) -> None:
    one, two = DataFolder(tmp_path), DataFolder(tmp_path)
    one.lock()
    one.lock()
    with pytest.raises(FolderInUse, match=f"process id {os.getpid()}"):
        two.lock()
    one.unlock()
    one.unlock()
    two.lock()
    assert (two.is_locked, one.is_locked) == (True, False)
    two.unlock()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from icecore.server.storage.folder import DataFolder\n"
        "DataFolder(Path(sys.argv[1])).lock()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert (tmp_path / "lock").exists()
    with DataFolder(tmp_path) as folder:
        assert folder.is_locked


def test_the_socket_of_a_long_path_is_elsewhere_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir=tempfile.gettempdir()) as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        assert DataFolder(tmp_path / "a").socket() == tmp_path / "a" / "server.sock"
        long, other = tmp_path / ("x" * 100), tmp_path / ("y" * 100)
        socket = DataFolder(long).socket()
        assert len(os.fsencode(socket)) <= MAX_SOCKET_PATH_BYTES
        assert socket == DataFolder(long).socket() != DataFolder(other).socket()
        assert mode(socket.parent) == 0o700
        socket.parent.chmod(0o755)
        with pytest.raises(PermissionError, match="alone"):
            DataFolder(long).socket()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("z" * 100)))
        with pytest.raises(OSError, match="shorter path"):
            DataFolder(long).socket()


def test_a_lock_that_a_killed_servers_child_still_holds_is_waited_for(tmp_path: Path) -> None:
    holding = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "from icecore.server.storage.folder import DataFolder\n"
        "folder = DataFolder(Path(sys.argv[1]))\n"
        "folder.lock()\n"
        "subprocess.Popen(['sleep', '0.5'], pass_fds=[folder._lock])\n"
    )
    subprocess.run([sys.executable, "-c", holding, str(tmp_path)], check=True)
    with DataFolder(tmp_path) as folder:
        assert folder.is_locked

"""The data folder's server: found, started, or missed with a sentence that helps."""

import json
import socket
import stat
from pathlib import Path

import pytest

from icecore.client import Client, LocalServerError, Waiting, local, read_admin_key
from icecore.client._where import Embedded
from icecore.client.errors import FOLDER_NEW, FOLDER_UNUSABLE, SERVER_REFUSED
from icecore.client.local import Search, running_address


def listening(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()
    return server


def write_address(folder: Path, path: Path) -> str:
    address = f"unix:{path}"
    (folder / "server.json").write_text(json.dumps({"pid": 1, "address": address}))
    return address


def test_a_server_that_listens_is_found(tmp_path: Path) -> None:
    assert running_address(tmp_path) is None
    assert running_address(tmp_path / "absent") is None
    with listening(tmp_path / "s"):
        address = write_address(tmp_path, tmp_path / "s")
        assert running_address(tmp_path) == address
        assert Search(Embedded(tmp_path, 1.0)).address() == address


def test_what_a_killed_server_left_behind_is_no_server(tmp_path: Path) -> None:
    listening(tmp_path / "s").close()
    write_address(tmp_path, tmp_path / "s")
    assert running_address(tmp_path) is None
    (tmp_path / "s").unlink()
    assert running_address(tmp_path) is None


FOREIGN = ["", "[]", "{}", "{", '{"address": 5}', '{"address": "127.0.0.1:1"}']


@pytest.mark.parametrize("text", FOREIGN)
def test_a_file_that_no_server_writes_is_no_server(tmp_path: Path, text: str) -> None:
    """Left by a crash or by another version, it must not keep a server from starting."""
    (tmp_path / "server.json").write_text(text)
    assert running_address(tmp_path) is None


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script be what is started as the server."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))


def test_a_folder_that_a_foreign_server_has_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "echo icecore.server: in use by the server with id 1; exit 2")
    (tmp_path / "server.json").write_text('{"socket": "x"}')
    with pytest.raises(LocalServerError, match=r"another server has data folder .* end that"):
        Search(Embedded(tmp_path, 1.0)).address()


def test_why_a_server_ended_is_found_among_what_another_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two may write to one log: the one that is just ending, and the one that is refused."""
    stand_in(tmp_path, monkeypatch, "echo icecore.server: no room; echo '{}'; exit 3")
    (tmp_path / "server.log").write_text("icecore.server: of yesterday\n")
    with pytest.raises(LocalServerError, match=r"with status 3: no room$") as failed:
        Search(Embedded(tmp_path, 1.0)).address()
    assert failed.value.reason == "LOCAL_SERVER"


def test_a_server_that_calls_it_the_callers_mistake_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "echo icecore.server: may not be written; exit 2")
    with pytest.raises(LocalServerError, match=r"with status 2: may not be written$") as refused:
        Search(Embedded(tmp_path, 1.0)).address()
    assert refused.value.reason == SERVER_REFUSED


def test_a_light_install_says_how_to_make_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_NEEDED", ("numpy", "absent_onnxruntime"))
    with Client(data=tmp_path) as client, pytest.raises(LocalServerError) as refused:
        client.backbones()
    assert "without 'absent_onnxruntime'" in str(refused.value)
    assert "pip install 'icecore[server]'" in str(refused.value)
    assert not list(tmp_path.iterdir()), "nothing was made"


def test_a_server_that_ends_at_once_tells_why(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with pytest.raises(LocalServerError) as refused:
        Search(Embedded(folder, -1.0)).address()
    assert "ended at once with status 2: " in str(refused.value)
    assert "--until-idle is -1.0" in str(refused.value), "the last line of its log"
    assert "\n" not in str(refused.value)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "server.log").stat().st_mode) == 0o600


def test_a_folder_that_is_new_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that is not, or in which nothing is begun, is not."""
    stand_in(tmp_path, monkeypatch, "exit 3")
    heard: list[Waiting] = []
    embedded = Embedded(tmp_path / "mistyped", 1.0, on_wait=heard.append)
    for _ in range(2):
        with pytest.raises(LocalServerError):
            Search(embedded).address()
    [told] = heard
    assert told.reason == FOLDER_NEW
    assert told.message.startswith(f"data folder '{tmp_path}/mistyped' is new: ")


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalServerError, match=r"/file' cannot be made: file exists"):
        Search(Embedded(tmp_path / "file", 1.0)).address()
    with pytest.raises(LocalServerError, match=r"x' cannot be made: not a directory") as refused:
        Search(Embedded(tmp_path / "file" / "x", 1.0)).address()
    assert refused.value.reason == FOLDER_UNUSABLE


def test_a_started_server_gets_no_key_and_no_port_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables are read by `env`, which stands in for Python here."""
    for name in ("ICECORE_KEY", "ICECORE_SERVER", "ICECORE_LISTEN", "ICECORE_TLS_KEY"):
        monkeypatch.setenv(name, "127.0.0.1:1")
    monkeypatch.setenv("ICECORE_THREADS", "3")
    stand_in(tmp_path, monkeypatch, "env | grep ICECORE_ | tr '\\n' ' '\nexit 3")
    with pytest.raises(LocalServerError, match=r"with status 3: ICECORE_THREADS=3$"):
        Search(Embedded(tmp_path / "data", 1.0)).address()


def test_time_runs_out_for_a_server_that_never_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "exec sleep 5")
    monkeypatch.setattr(local, "START_TIMEOUT_S", 0.2)
    with pytest.raises(LocalServerError, match=r"does not serve after 0.2 s; '.*server.log' may"):
        Search(Embedded(tmp_path / "data", 1.0)).address()


def test_the_administrators_key_is_read_where_the_server_left_it(tmp_path: Path) -> None:
    assert read_admin_key(tmp_path) is None
    (tmp_path / "admin.key").write_text("icecore_x\n")
    assert read_admin_key(tmp_path) == "icecore_x"

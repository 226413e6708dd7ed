"""The command as a process: signals, closed pipes, and a server it becomes or starts."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from cli_runs import child, two_classes
from servers import START_S, serving, wait_until_serving


def _ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit status, and what it said to standard error."""
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    return process.wait(START_S), said


def test_a_closed_pipe_ends_the_command_quietly() -> None:
    """As with `icecore layers | head -1`."""
    process = child("train-probe", "--help", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert _ended(process) == (-signal.SIGPIPE, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_standard_output_is_one_line(
    unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is met only when what was kept back is written."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        process = child("train-probe", "--help", stdout=full, stderr=subprocess.PIPE)
        assert _ended(process) == (2, "icecore: no space left on device\n")


def test_ctrl_c_is_one_line_and_the_signals_own_status() -> None:
    """While a server is waited for that takes the call and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        process = child("backbones", "--server", address, stderr=subprocess.PIPE)
        connection, _ = listener.accept()
        process.send_signal(signal.SIGINT)
        assert _ended(process) == (-signal.SIGINT, "icecore: interrupted\n")
        connection.close()


def test_serve_is_the_server_itself(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data):
        pass  # leaves the toy in the folder
    served = child(
        "serve", "--data", data, "--listen", "127.0.0.1:0", "--threads", 1, stderr=subprocess.PIPE
    )
    try:
        assert served.stderr is not None
        fields = wait_until_serving(served.stderr)
        for where in (("--data", data), ("--server", fields["listen"])):
            asked = child("layers", "toy", *where, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            out, err = asked.communicate(timeout=START_S)
            assert asked.returncode == 0, err
            assert "three" in out
        second = child("serve", "--data", data, stderr=subprocess.PIPE)
        status, said = _ended(second)
        assert status == 2
        assert str(served.pid) in said
        served.send_signal(signal.SIGTERM)
        assert _ended(served)[0] == 0
    finally:
        served.kill()
        served.wait()


def test_a_wrong_flag_of_serve_is_the_callers_mistake(tmp_path: Path) -> None:
    served = child("serve", "--data", tmp_path, "--listen", "0.0.0.0:0", stderr=subprocess.PIPE)
    status, said = _ended(served)
    assert status == 2
    assert "--insecure-transport" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("n_commands", [3])
def test_commands_without_a_server_start_one_and_share_it(tmp_path: Path, n_commands: int) -> None:
    data, photos = tmp_path / "data", two_classes(tmp_path / "photos", each=2)
    with serving(data):
        pass
    environment = {"ICECORE_DATA": str(data), "ICECORE_SERVER": "", "ICECORE_KEY": ""}
    running = [
        child(
            *("embed", photos, "--backbone", "toy", "--out", tmp_path / f"{place}.npz"),
            environment=environment,
            stderr=subprocess.PIPE,
        )
        for place in range(n_commands)
    ]
    for process in running:
        status, said = _ended(process)
        assert status == 0, said
    assert len({(tmp_path / f"{place}.npz").read_bytes() for place in range(n_commands)}) == 1
    log = (data / "server.log").read_text()
    assert log.count('"event": "serving"') == 1, log
    os.kill(int(json.loads((data / "server.json").read_text())["pid"]), signal.SIGTERM)

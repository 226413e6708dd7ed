"""Clients without an address share the data folder's server, which lives as long as they do."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from driven import TWINS, opened
from icecore.client import AsyncClient, Client
from icecore.client.local import SERVER_FILE

Twin = type[Client | AsyncClient]
both = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
IDLE_S = 0.5
ENDS_S = 60.0
"""How long an end is waited for; it comes about IDLE_S after the last client's."""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose server is gone afterwards."""
    folder = tmp_path / "data"
    yield folder
    if (folder / SERVER_FILE).exists():
        with watched(server_pid(folder)) as server:
            ends(server, ENDS_S)


def server_pid(folder: Path) -> int:
    return int(json.loads((folder / SERVER_FILE).read_text())["pid"])


@contextmanager
def watched(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ends(server: int, seconds: float) -> bool:
    """Whether the process ends within so many seconds."""
    poll = select.poll()
    poll.register(server, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


@both
def test_a_server_lives_as_long_as_its_client_and_a_little_longer(twin: Twin, data: Path) -> None:
    with opened(twin, data=data, until_idle_s=IDLE_S) as client:
        assert [backbone.is_default for backbone in client.backbones()] == [True]
        with watched(server_pid(data)) as server:
            assert not ends(server, 3 * IDLE_S), "a client that thinks is a client"
            assert client.connect() == json.loads((data / SERVER_FILE).read_text())["address"]
            client.close()
            assert ends(server, ENDS_S)
    assert not (data / SERVER_FILE).exists()


@both
def test_a_client_whose_server_was_killed_starts_another(twin: Twin, data: Path) -> None:
    with opened(twin, data=data, until_idle_s=IDLE_S) as client:
        client.create_collection("kept")
        pid = server_pid(data)
        with watched(pid) as server:
            os.kill(pid, signal.SIGKILL)
            assert ends(server, ENDS_S)
        assert client.collection("kept").collection_id == "kept"
        assert server_pid(data) != pid


def test_ten_clients_at_once_share_one_server(data: Path) -> None:
    program = (
        "import sys; from icecore.client import Client\n"
        f"with Client(data=sys.argv[1], until_idle_s={IDLE_S}, timeout_s=120) as client:\n"
        "    client.create_collection(sys.argv[2])\n"
        "    print(client.connect(), flush=True)\n"
        "    sys.stdin.read()\n"  # stays until all have called
    )
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(data), f"c{place}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for place in range(10)
    ]
    addresses = set()
    for client in clients:
        assert client.stdout is not None
        addresses.add(client.stdout.readline())
    assert addresses == {json.loads((data / SERVER_FILE).read_text())["address"] + "\n"}
    with Client(data=data) as eleventh:
        assert len(eleventh.collections()) == 10
    with watched(server_pid(data)) as server:
        for client in clients:
            out, err = client.communicate()
            assert (client.returncode, out, err) == (0, "", "")
        assert ends(server, ENDS_S)

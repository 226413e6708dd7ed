"""A server's life: how it starts, says where it is, refuses, and ends."""

import json
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from callers import calling, refusal
from icecore.server.__main__ import main
from icecore.server.errors import FolderInUse
from icecore.server.storage.sqlite.store import SqliteStore
from icecore.v1 import backbone_pb2, collection_pb2, collection_pb2_grpc
from servers import START_S, serving, start, wait_until_serving

LISTING = collection_pb2.ListCollectionsRequest()


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_server_json_is_there_while_it_serves_and_tells_where(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, listen="127.0.0.1:0") as server:
        assert server.app is not None
        fields = json.loads((data / "server.json").read_text())
        assert fields == {
            "pid": os.getpid(),
            "address": server.address,
            "listen": server.listen,
            "metrics": server.app.metrics,
            "tls": False,
            "version": fields["version"],
        }
        assert fields["address"].startswith("unix:/")
        assert fields["listen"].startswith("127.0.0.1:")
        assert _mode(data) == 0o700
        assert _mode(data / "server.json") == 0o600
        assert _mode(data / "admin.key") == 0o600
        assert _mode(Path(server.address.removeprefix("unix:"))) == 0o600
    assert not (data / "server.json").exists()
    assert not Path(server.address.removeprefix("unix:")).exists()


def test_the_administrators_key_is_made_once_and_never_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    with serving(data) as server:
        key = server.admin_key
    assert key.startswith("icecore_")
    (data / "admin.key").unlink()
    with serving(data), calling(server.address, key) as caller:
        said = refusal(lambda: caller.collections.ListCollections(LISTING))
        assert said.reason == "TENANT_KEY_REQUIRED", "the key of the first start is another"
        assert not (data / "admin.key").exists(), "a key that was moved away comes back"
    written = capfd.readouterr()
    assert key not in written.out + written.err
    assert key.encode() not in b"".join(
        path.read_bytes() for path in data.iterdir() if path.is_file()
    ), "the key itself is stored"


def test_the_administrators_key_is_durable_before_its_hash_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut leaves a folder whose administrator's key nobody has."""
    done: list[str] = []
    fsync, create = os.fsync, SqliteStore.create_key

    def synced(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) and (tmp_path / "data/admin.key").exists():
            done.append("folder")
        fsync(descriptor)

    def created(self: SqliteStore, *args: Any, **given: Any) -> Any:
        done.append("hash")
        return create(self, *args, **given)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(SqliteStore, "create_key", created)
    with serving(tmp_path / "data"):
        pass
    assert done[:2] == ["folder", "hash"]


def test_a_second_server_on_the_folder_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        with pytest.raises(FolderInUse, match=str(os.getpid())), serving(tmp_path / "data"):
            pass
        child = start(tmp_path / "data")
        _, said = child.communicate(timeout=START_S)
        assert child.returncode == 2
        assert said.count("\n") == 1, said
        assert "in use" in said
        assert f"process id {os.getpid()}" in said
        with calling(server.address) as caller:
            caller.collections.ListCollections(LISTING)
        assert (tmp_path / "data/server.json").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--listen", "0.0.0.0:0"], "--insecure-transport"),
        (["--listen", "nonsense"], "HOST:PORT"),
        (["--what"], "--what"),
        (
            ["--listen", "127.0.0.1:0", "--tls-cert", "absent.pem", "--tls-key", "absent.pem"],
            "absent.pem",
        ),
        (["--data", "/dev/null/data"], "/dev/null"),
        (["--data", __file__], "it is a file, but must be a folder"),
        (["--data", "/proc/none"], "the folder cannot be made or opened (No such file"),
    ],
)
def test_a_callers_mistake_is_one_line_and_status_2(
    tmp_path: Path, arguments: list[str], word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLogger().handlers[:]
    try:
        status = main(["--data", str(tmp_path / "data"), *arguments])
    finally:
        logging.getLogger().handlers[:] = before
    said = capfd.readouterr().err
    lines = [line for line in said.splitlines() if not line.startswith("{")]
    assert status == 2, said
    assert len(lines) == 1, said
    assert word in lines[0]
    assert "Traceback" not in said


def test_help_is_status_0() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "icecore.server", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--until-idle" in done.stdout


@pytest.fixture(scope="module")
def used_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has its default backbone already."""
    data = tmp_path_factory.mktemp("used") / "data"
    child = start(data, "--until-idle", "0.1")
    child.communicate(timeout=START_S)
    assert child.returncode == 0
    return data


@contextmanager
def started(data: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    child = start(data, *arguments)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        if child.stderr is not None:
            child.stderr.close()


@pytest.fixture
def child(used_folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """It ends only when it is told to: one that ends when it is idle may be gone before

    a test on a busy machine has come to call.
    """
    with started(used_folder) as child:
        yield child


def test_it_ends_some_time_after_its_last_client(used_folder: Path) -> None:
    """A watched health is a client; so are those who only came to call."""
    while True:
        with started(used_folder, "--until-idle", "1") as child:
            assert child.stderr is not None
            fields = wait_until_serving(child.stderr)
            with grpc.insecure_channel(fields["address"]) as channel:
                stub: Any = health_pb2_grpc.HealthStub(channel)
                watch = stub.Watch(health_pb2.HealthCheckRequest())
                if _first_status(watch) != health_pb2.HealthCheckResponse.SERVING:
                    continue  # it had waited for us for a second, and was right to end
                with pytest.raises(subprocess.TimeoutExpired):
                    child.wait(2)
                left = time.monotonic()
            child.communicate(timeout=START_S)
            assert child.returncode == 0
            assert time.monotonic() - left >= 1.0
            return


def _first_status(watch: Any) -> Any:
    """What is said first; None by a server that is gone."""
    try:
        return next(watch).status
    except grpc.RpcError:
        assert watch.code() is grpc.StatusCode.UNAVAILABLE
        return None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_those_who_watch_are_told(
    child: "subprocess.Popen[str]", number: signal.Signals
) -> None:
    assert child.stderr is not None
    fields = wait_until_serving(child.stderr)
    with grpc.insecure_channel(fields["address"]) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        child.send_signal(number)
        assert [answer.status for answer in watch] == [health_pb2.HealthCheckResponse.NOT_SERVING]
    _, said = child.communicate(timeout=START_S)
    assert child.returncode == 0, said
    assert json.loads(said.splitlines()[-1])["event"] == "stopped"


def test_after_a_kill_the_next_one_serves(used_folder: Path) -> None:
    first = start(used_folder)
    assert first.stderr is not None
    wait_until_serving(first.stderr)
    first.kill()
    first.communicate()
    assert (used_folder / "server.json").exists(), "nobody was there to remove it"
    second = start(used_folder, "--until-idle", "0.1")
    _, said = second.communicate(timeout=START_S)
    assert second.returncode == 0, said
    assert not (used_folder / "server.json").exists()


def test_the_default_backbone_is_there_from_the_first_use(
    child: "subprocess.Popen[str]",
) -> None:
    assert child.stderr is not None
    fields = wait_until_serving(child.stderr)
    with calling(fields["address"]) as caller:
        answer = caller.backbones.GetBackbone(backbone_pb2.GetBackboneRequest())
    assert answer.backbone.name == "efficientnet-lite0"
    assert answer.backbone.is_default
    assert answer.backbone.depths == 33
    assert [layer.depth for layer in answer.layers if layer.thresholded] == list(range(1, 34))


@pytest.mark.parametrize("grace_s", [0.2, 1e6], ids=["in time", "at a second signal"])
def test_calls_in_flight_are_ended_when_their_time_is_over(tmp_path: Path, grace_s: float) -> None:
    """A stream that never ends does not keep the server."""
    began, forever = threading.Event(), threading.Event()

    def requests() -> Iterator[collection_pb2.AddExamplesRequest]:
        began.set()
        forever.wait()
        yield collection_pb2.AddExamplesRequest()

    with serving(tmp_path / "data", grace_s=grace_s) as server:
        assert server.app is not None
        assert server.loop is not None
        channel = grpc.insecure_channel(server.address)
        stub: Any = collection_pb2_grpc.CollectionServiceStub(channel)
        answers = stub.AddExamples(requests())
        began.wait(START_S)
        while server.app.activity.n_in_flight == 0:
            time.sleep(0.001)
        if grace_s > 1:
            server.loop.call_soon_threadsafe(server.app.stop)  # the end of this block is another
    with pytest.raises(grpc.RpcError):
        next(answers)
    forever.set()
    channel.close()

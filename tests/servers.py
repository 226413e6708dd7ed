"""Real servers for tests: in this process on a thread of its own, or as a process.

    with serving(tmp_path / "data") as server:      # the toy backbone is the default
        Client(server.address)

    with process(tmp_path / "data", "--listen", "127.0.0.1:0") as server: ...

In the process the default backbone is EfficientNet-Lite0, as for a user, unless the
folder was filled by `serving` before: the toy stays in it under the name "toy".
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from icecore.server.app import App
from icecore.server.app import serving as app_serving
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.settings import Settings
from icecore.server.storage.promise import Store
from toy_store import put_toy_backbone

PROGRAM = ("-m", "icecore.server")

START_S = 120.0
"""Patience, not a measure: the machine may be shared."""

PATIENT_MS = 60_000
"""What a call may wait in tests that are not about being refused."""


class ToyCatalog(Catalog):
    """Its default backbone is the toy."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, default="toy")
        self._toy_store = store

    def ensure_default(self) -> Backbone:
        put_toy_backbone(self._toy_store)
        return super().ensure_default()


@dataclass(frozen=True)
class Server:
    """Where a server is. `address` is its socket's, `listen` HOST:PORT or None."""

    data: Path
    address: str
    listen: str | None
    app: App | None = None
    loop: asyncio.AbstractEventLoop | None = None
    child: "subprocess.Popen[str] | None" = None

    @property
    def admin_key(self) -> str:
        return (self.data / "admin.key").read_text().strip()


@contextmanager
def serving(data: Path, *, catalog: Any = ToyCatalog, **settings: Any) -> Iterator[Server]:
    """A server in this process; `settings` are fields of `Settings`."""
    started: Future[tuple[App, asyncio.AbstractEventLoop]] = Future()
    ended: Future[None] = Future()
    fields: dict[str, Any] = {
        "threads": 1,
        "grace_s": 2.0,
        "max_queue_ms": PATIENT_MS,
        **settings,
    }

    async def serve() -> None:
        async with app_serving(Settings(data, **fields), make_catalog=catalog) as app:
            started.set_result((app, asyncio.get_running_loop()))
            await app.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            (ended if started.done() else started).set_exception(error)
        finally:
            if not ended.done():
                ended.set_result(None)

    thread = threading.Thread(target=run, name="test server")
    thread.start()
    try:
        app, loop = started.result(START_S)
        try:
            yield Server(data, app.address, app.listen, app=app, loop=loop)
        finally:
            if not ended.done():
                loop.call_soon_threadsafe(app.stop)
            ended.result(START_S)
    finally:
        thread.join(START_S)


@contextmanager
def process(
    data: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
) -> Iterator[Server]:
    """A server as a user starts one; its process is killed at the end if it still runs."""
    child = start(data, *arguments, environment=environment, program=program)
    try:
        assert child.stderr is not None
        fields = wait_until_serving(child.stderr)
        drain = threading.Thread(target=child.stderr.read, daemon=True)
        drain.start()
        yield Server(data, fields["address"], fields["listen"], child=child)
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        child.wait(START_S)
        drain.join(START_S)
    finally:
        child.kill()
        child.wait()
        if child.stderr is not None:
            child.stderr.close()


def start(
    data: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
) -> "subprocess.Popen[str]":
    """Start `python -m icecore.server` and do not wait for it."""
    return subprocess.Popen(
        [sys.executable, *program, "--data", str(data), "--threads", "1", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "ICECORE_MAX_QUEUE_MS": str(PATIENT_MS),
            **(environment or {}),
        },
    )


def wait_until_serving(stderr: IO[str]) -> dict[str, Any]:
    """Return the fields of the line that says so."""
    said = []
    for line in stderr:
        said.append(line)
        fields = json.loads(line) if line.startswith("{") else {}
        if fields.get("event") == "serving":
            return dict(fields)
    raise AssertionError(f"the server ended before it served: {''.join(said)}")

"""A server that is ended and started again while its clients call without pause.

What they are promised: with the clients' own retries nobody sees an error, and of what was
added everything is there, once.
"""

import asyncio
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from icecore.client import AsyncClient, Client, NewExample
from process_facts import catches
from servers import PROGRAM, START_S, start, wait_until_serving

COLLECTION = "restarts"
CALL_S = 90.0
"""A call may take this long in all; the server is away for seconds."""


@dataclass
class Course:
    """What happened. `ms` are times of calls by kind, `errors` what clients saw."""

    ms: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    n_added: int = 0
    told_ms: list[float] = field(default_factory=list)
    """From the signal to NOT_SERVING at one who watches."""
    ended_s: list[float] = field(default_factory=list)
    """From the signal to the end of the process."""
    started_s: list[float] = field(default_factory=list)
    """From the start of the process to "serving"."""
    statuses: Counter[int] = field(default_factory=Counter)
    cut_short: Counter[int] = field(default_factory=Counter)
    """Exit statuses of those that were ended while they still started."""
    cut_unheard: Counter[int] = field(default_factory=Counter)
    """And of those that did not listen for signals yet."""


class Restarting:
    """A server on a port of its own, over one folder."""

    def __init__(
        self, data: Path, *arguments: str, program: Sequence[str | Path] = PROGRAM
    ) -> None:
        self.data = data
        self._arguments, self._program = arguments, tuple(map(str, program))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.course = Course()
        self._child: Any = None
        self._reading: threading.Thread | None = None
        self._began = 0.0
        self.fields: dict[str, Any] = {}
        """Of the log line that says it serves."""

    @property
    def pid(self) -> int:
        return int(self._child.pid)

    def start(self) -> None:
        self.begin()
        self.wait()

    def begin(self) -> float:
        """Start it and do not wait; return when, by `time.monotonic`."""
        self._began = time.monotonic()
        self._child = self._begin()
        return self._began

    def wait(self) -> None:
        """Wait until it serves."""
        self.fields = wait_until_serving(self._child.stderr)
        self.course.started_s.append(time.monotonic() - self._began)
        self._reading = threading.Thread(target=_read_on, args=(self._child,))
        self._reading.start()

    def end(self) -> None:
        """Ask it to end, and wait until it is gone."""
        with grpc.insecure_channel(self.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=START_S)
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            began = time.monotonic()
            self._child.send_signal(signal.SIGTERM)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            self.course.told_ms.append((time.monotonic() - began) * 1e3)
        self.course.statuses[self._child.wait(START_S)] += 1
        if self._reading is not None:
            self._reading.join()
        self.course.ended_s.append(time.monotonic() - began)

    def begin_and_end(self, after_s: float) -> None:
        """Start one and ask it to end so soon that it may not serve yet."""
        child = self._begin()
        time.sleep(after_s)
        is_heard = catches(child.pid, signal.SIGTERM)
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=START_S)
        statuses = self.course.cut_short if is_heard else self.course.cut_unheard
        statuses[child.returncode] += 1

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        if self._reading is not None:
            self._reading.join()

    def _begin(self) -> Any:
        given = ("--listen", self.address, "--metrics", "127.0.0.1:0", *self._arguments)
        return start(self.data, *given, program=self._program)


class Clients:
    """All kinds of calls at once, each in a thread of its own, one after the other."""

    def __init__(self, server: Restarting) -> None:
        self._address, self._course = server.address, server.course
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._seed = random.randrange(1 << 30)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Call until the end of the block; calls then under way are waited for."""
        kinds: list[Callable[[], None]] = [
            self._embeds,
            self._embeds_a_stream,
            self._embeds_awaited,
            self._adds,
            self._searches,
        ]
        with self._client() as client:
            client.create_collection(COLLECTION)
            client.add_examples(COLLECTION, [self._example()])
            self._course.n_added += 1
        threads = [threading.Thread(target=kind) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _embeds(self) -> None:
        with self._client() as client:
            while not self._stop.is_set():
                self._timed("embed", lambda: client.embed([self.image()]))

    def _embeds_a_stream(self) -> None:
        """Streams of several batches, so that most are cut by an end."""
        with self._client() as client:
            while not self._stop.is_set():
                images = (self.image() for _ in range(24))
                batches = client.embed_stream(images, batch_size=2)
                made = self._timed("embed_stream", lambda: list(batches))  # noqa: B023
                if made is not None and sum(len(codes) for (codes,) in made) != 24:
                    self._failed("embed_stream", AssertionError("codes of other images"))

    def _embeds_awaited(self) -> None:
        async def embed() -> None:
            async with AsyncClient(self._address, timeout_s=CALL_S) as client:
                while not self._stop.is_set():
                    began = time.perf_counter()
                    try:
                        await asyncio.gather(*(client.embed([self.image()]) for _ in range(2)))
                    except Exception as error:
                        self._failed("awaited embed", error)
                    self._took("awaited embed", began)

        asyncio.run(embed())

    def _adds(self) -> None:
        with self._client() as client:
            while not self._stop.is_set():
                examples = (self._example() for _ in range(8))
                added = self._timed(
                    "add_examples",
                    lambda: client.add_examples(COLLECTION, examples, batch_size=2),  # noqa: B023
                )
                self._course.n_added += 8 if added is None else added.n_added

    def _searches(self) -> None:
        with self._client() as client:
            while not self._stop.is_set():
                self._timed("search", lambda: client.search(COLLECTION, [self.image()], k=1))
                self._stop.wait(0.05)

    def _client(self) -> Client:
        return Client(self._address, timeout_s=CALL_S)

    def image(self) -> Any:
        """One that nobody has sent before."""
        with self._lock:
            self._seed += 1
            seed = self._seed
        return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)

    def _example(self) -> NewExample:
        image = self.image()
        return NewExample(f"{self._seed}-{random.random()}", image, label="any")

    def _timed(self, kind: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        try:
            return call()
        except Exception as error:
            self._failed(kind, error)
            return None
        finally:
            self._took(kind, began)

    def _took(self, kind: str, began: float) -> None:
        with self._lock:
            self._course.ms.setdefault(kind, []).append((time.perf_counter() - began) * 1e3)

    def _failed(self, kind: str, error: Exception) -> None:
        with self._lock:
            self._course.errors.append(f"{kind}: {type(error).__name__}: {error}")


def _read_on(child: Any) -> None:
    with child.stderr as said:
        said.read()


def restarts(data: Path, n: int, *, up_s: float, cut_short_s: tuple[float, ...] = ()) -> Course:
    """Restart a server `n` times under load, and say what happened.

    Args:
        data: its folder; one that was used before starts sooner.
        up_s: how long it serves each time.
        cut_short_s: so many of the starts are ended so many seconds after they began, and
            followed by another.

    Raises:
        AssertionError: of what was added something is missing, or there twice.
    """
    server = Restarting(data)
    try:
        server.start()
        with Clients(server).at_work():
            for place in range(n):
                time.sleep(up_s)
                server.end()
                if place < len(cut_short_s):
                    server.begin_and_end(cut_short_s[place])
                server.start()
        with Client(server.address) as client:
            there = client.collection(COLLECTION).n_examples
        assert server.course.errors or there == server.course.n_added, (
            f"{server.course.n_added} examples were added, but there are {there}"
        )
        server.end()
    finally:
        server.close()
    return server.course

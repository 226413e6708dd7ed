"""Plain ONNX Runtime in a loop: what no server can be cheaper than. A process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from load.outcome import percentile
from load.processes import on_cores

BENCH = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Loop:
    """`loops` threads, each running a session of `threads` threads, one image a pass.

    `spins`: whether a session's threads wait by spinning, as is ONNX Runtime's default. In a
    session of one thread nobody waits.
    """

    loops: int
    threads: int
    seconds: float
    spins: bool = True

    def __str__(self) -> str:
        if self.threads == 1:
            return f"{self.loops} x 1 thread"
        waits = "spinning" if self.spins else "not spinning"
        return f"{self.loops} x {self.threads} threads, {waits}"


def choices(n_cores: int, seconds: float) -> list[Loop]:
    """Return the ways to keep so many cores at work that may be the best, each once.

    An image a thread; all threads on one image, spinning and not; one thread alone.
    """
    wide = [Loop(1, n_cores, seconds, spins) for spins in (True, False) if n_cores > 1]
    return list(dict.fromkeys([Loop(n_cores, 1, seconds), *wide, Loop(1, 1, seconds)]))


@dataclass(frozen=True)
class Ran:
    """CPU-milliseconds an image, images a second, and how long each took."""

    cpu_ms: float
    rate: float
    ms: list[float] = field(repr=False)

    @property
    def p50(self) -> float:
        return percentile(self.ms, 50)


class BareLoop:
    """The process, on `cores` if given, with a cut graph's file and one float32 tensor of it."""

    def __init__(self, graph: Path, *, cores: Sequence[int] | None = None) -> None:
        with on_cores(cores):
            self._child = subprocess.Popen(
                [sys.executable, "-m", "load.bare_loop", str(graph)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=BENCH,
            )

    def run(self, loop: Loop) -> Ran:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(asdict(loop)).encode() + b"\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError("the bare loop has ended")
        return Ran(**json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.kill()
        self._child.communicate()


class _Bare:
    """Sessions by their threads and how those wait, made when first asked for."""

    def __init__(self, graph: str) -> None:
        import numpy as np

        self._graph = graph
        self._sessions: dict[tuple[int, bool], Any] = {}
        self._random = np.random.default_rng(0)

    def _session(self, threads: int, spins: bool) -> Any:
        import onnxruntime

        if (threads, spins) not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
            if not spins:  # as the server has it
                options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self._sessions[threads, spins] = onnxruntime.InferenceSession(self._graph, options)
        return self._sessions[threads, spins]

    def run(self, loop: Loop) -> Ran:
        session = self._session(loop.threads, loop.spins)
        (source,) = session.get_inputs()
        shape = [size if isinstance(size, int) else 1 for size in source.shape]
        feed = {source.name: self._random.normal(size=shape).astype("f4")}

        def work(seconds: float) -> list[float]:
            ms = []
            began = now = time.perf_counter()
            while now - began < seconds:
                session.run(None, feed)
                before, now = now, time.perf_counter()
                ms.append((now - before) * 1e3)
            return ms

        work(0.05)
        with ThreadPoolExecutor(loop.loops) as pool:
            cpu, wall = time.process_time(), time.perf_counter()
            ms = [one for part in pool.map(work, [loop.seconds] * loop.loops) for one in part]
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Ran(cpu / len(ms) * 1e3, len(ms) / wall, ms)


def main() -> None:
    bare = _Bare(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(asdict(bare.run(Loop(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()

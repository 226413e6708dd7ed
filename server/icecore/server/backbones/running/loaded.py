"""One cut graph, loaded into ONNX Runtime: its weights shared with others, its maps in one arena.

ONNX Runtime shares a weight between sessions only where it is handed in, and it
lays out the weights of convolutions anew for the processor while it optimises.
So a graph is optimised first, and the weights that come of that are handed in.
Blocking; one session may be run by many threads.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from icecore.server.backbones.running.bare_heads import bare
from icecore.server.backbones.running.cutting import in_running_order
from icecore.server.backbones.running.int8_kernels import suited
from icecore.server.backbones.running.processor import saturates
from icecore.server.backbones.running.shared_weights import SharedWeights, Weight
from icecore.server.backbones.running.stored_weights import join, split

FloatArray: TypeAlias = npt.NDArray[np.float32]
InputArray: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.uint8]

OVERHEAD_BYTES, OVERHEAD_BYTES_A_NODE = 20_000, 12_000
"""What a session takes beside its weights, fitted to the growth of resident memory."""

_ERROR = 3
"""Log severity of ONNX Runtime; its warnings are about optimisations it skipped."""

SPIN_US: Final = "50"
"""EfficientNet-Lite0 on 2 quiet cores: 4.7 ms and 9.6 CPU-ms, 5.9 and 10.5 without spinning; with
two other programs that compute, 10.4 ms (11.4 without, 14.6 when it may spin for ever)."""

_ARENA = Lock()

_PACKERS = frozenset(
    {
        *("MatMul", "FusedMatMul", "Gemm", "FusedGemm", "QLinearConv", "QLinearMatMul", "QGemm"),
        *("MatMulInteger", "MatMulIntegerToFloat", "ConvInteger", "DynamicQuantizeMatMul"),
    }
)
"""Operators that keep a packed copy of their weights in each session, and drop those read."""


class Loaded:
    """A session of a cut graph.

    Args:
        graph: as `cut` makes it.
        threads: threads of ONNX Runtime.
        weights: where equal weights of other sessions are found.
        fed: changes what the graph takes, once its kernels are chosen.
    """

    def __init__(
        self,
        graph: bytes,
        *,
        threads: int,
        weights: SharedWeights,
        fed: Callable[[bytes], bytes] | None = None,
    ) -> None:
        ready = suited(graph)
        optimised = _optimised(ready if fed is None else fed(ready))
        model, spans = split(optimised)
        view = memoryview(optimised)
        packed = {
            name for node in model.graph.node if node.op_type in _PACKERS for name in node.input
        }
        # Kept, since ONNX Runtime does not hold what it was handed.
        self.weights: dict[str, Weight] = {}
        options = _options(threads)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.use_env_allocators", "1")
        for name, (first, end) in spans.items():
            if name not in packed and (weight := weights.get(view[first:end])) is not None:
                self.weights[name] = weight
                options.add_initializer(name, weight.value)
        self._is_bare = bare(model)
        nodes = in_running_order(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        own = sum(end - first for name, (first, end) in spans.items() if name not in self.weights)
        self.own_bytes = own + OVERHEAD_BYTES + OVERHEAD_BYTES_A_NODE * len(nodes)
        _share_arena()
        with _scratch() as path:
            path.write_bytes(join(model, optimised, iter(spans.values())))
            del optimised, view, model
            # From a file, since the Python class keeps the bytes that it is given.
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        image = self._session.get_inputs()[0]
        self._input = image.name
        self._step = image.shape[0] if isinstance(image.shape[0], int) else None

    def run(self, inputs: InputArray) -> list[FloatArray]:
        """Return one array an output; images one by one where the graph's batch is fixed."""
        if self._step is None:
            return self._run(inputs)
        parts = [self._run(inputs[i : i + self._step]) for i in range(0, len(inputs), self._step)]
        return [np.concatenate(codes) for codes in zip(*parts, strict=True)]

    def _run(self, inputs: InputArray) -> list[FloatArray]:
        codes: list[FloatArray] = self._session.run(None, {self._input: inputs})
        return [
            array[:, :, 0, 0] if is_bare else array
            for array, is_bare in zip(codes, self._is_bare, strict=True)
        ]


def _optimised(graph: bytes) -> bytes:
    """The graph as ONNX Runtime runs it on this processor, with its weights laid out so."""
    with _scratch() as path:
        options = _options(threads=1)
        options.enable_cpu_mem_arena = False
        options.optimized_model_filepath = str(path)
        ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    # One that waits by spinning finds its next part at once, and on a busy machine keeps others
    # from theirs: by default a pass of 6 ms took 27 there. So it spins for a moment.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_US)
    options.add_session_config_entry("session.force_spinning_stop", "1")  # when the pass ends
    if saturates():  # int8 codes are then the same as elsewhere, and slower
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _share_arena() -> None:
    """Let sessions take their maps from one arena: it grows to the largest pass, not to the sum.

    ONNX Runtime knows one such arena a process.
    """
    with _ARENA:
        _arena()


@lru_cache(maxsize=1)
def _arena() -> None:
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(memory, None)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A file in memory, for what ONNX Runtime reads and writes by path only."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / "graph.onnx"
        return
    file = os.memfd_create("icecore")
    try:
        yield Path(f"/proc/self/fd/{file}")
    finally:
        os.close(file)

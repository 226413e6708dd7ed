"""Cut sessions of ONNX Runtime, made at first use and kept while they fit.

Blocking and thread-safe: many threads may run, also the same session. It knows
nothing of images, tenants or turns.
"""

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Lock
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.cutting import cut
from icecore.wire.taps import TapId

FloatArray: TypeAlias = npt.NDArray[np.float32]
_Key: TypeAlias = tuple[TapId, ...]

COPIES = 2
"""A session holds its weights about twice: as read, and packed for the processor."""

_ERROR = 3
"""Log severity of ONNX Runtime; its warnings are about optimisations it skipped."""


class Sessions:
    """An LRU of cut sessions.

    Args:
        max_bytes: what all sessions kept may hold together, by estimate; the one
            used last is kept even if it alone is larger.
        threads: threads of ONNX Runtime a session.
    """

    def __init__(self, *, max_bytes: int, threads: int) -> None:
        self._max_bytes = max_bytes
        self._threads = threads
        self._lock = Lock()
        self._kept: OrderedDict[_Key, Future[_Session]] = OrderedDict()

    def run(
        self, backbone: Backbone, taps: Sequence[TapId], inputs: FloatArray
    ) -> list[FloatArray]:
        """Return the codes of `inputs`, one array a tap in the order of `taps`.

        Args:
            inputs: (n, 3, h, w) float32, C-contiguous, as the recipe makes them.

        Returns:
            (n, d) float32, or (n, c, h, w) for pooling NONE; owned by the caller.

        Raises:
            TapMismatch: a tap is not of this backbone.
            LayerNotFound: a tap names no layer of it.
            ValueError: no taps, or inputs of another dtype or shape.
        """
        if not taps:
            raise ValueError("there are no taps to run")
        if inputs.dtype != np.float32 or inputs.shape[1:] != backbone.recipe.shape:
            raise ValueError(
                f"inputs are {inputs.dtype.name} of shape {inputs.shape!r}, but must be float32 "
                f"of shape (n, {', '.join(map(str, backbone.recipe.shape))})"
            )
        for tap in taps:
            backbone.layer_of(tap)
        key = _in_order(backbone, taps)
        codes = dict(zip(key, self._session(backbone, key).run(inputs), strict=True))
        return [codes[tap] for tap in taps]

    @property
    def held_bytes(self) -> int:
        """Estimated bytes of the sessions kept."""
        with self._lock:
            return sum(_size(session) for session in self._kept.values())

    def close(self) -> None:
        """Let all sessions go; those running finish first. The next run makes them anew."""
        with self._lock:
            self._kept.clear()

    def _session(self, backbone: Backbone, key: _Key) -> "_Session":
        with self._lock:
            future = self._kept.get(key)
            if future is not None:
                self._kept.move_to_end(key)
            else:
                mine: Future[_Session] = Future()
                self._kept[key] = mine
        if future is not None:
            return future.result()
        try:
            session = _Session(cut(backbone.graph, key), self._threads)
        except BaseException as error:
            with self._lock:
                self._kept.pop(key, None)
            mine.set_exception(error)
            raise
        mine.set_result(session)
        self._evict()
        return session

    def _evict(self) -> None:
        """Drop those used longest ago until the rest fits; threads running one keep it alive."""
        with self._lock:
            held = sum(_size(session) for session in self._kept.values())
            for key in list(self._kept)[:-1]:
                if held <= self._max_bytes:
                    return
                if self._kept[key].done():
                    held -= _size(self._kept.pop(key))


class _Session:
    """One cut graph, loaded."""

    def __init__(self, graph: bytes, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERROR
        # Threads that wait by spinning made a pass of 6 ms take 27 on a busy two-core machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.n_bytes = COPIES * len(graph)

    def run(self, inputs: FloatArray) -> list[FloatArray]:
        codes: list[FloatArray] = self._session.run(None, {self._input: inputs})
        return codes


def _in_order(backbone: Backbone, taps: Sequence[TapId]) -> _Key:
    """Each tap once, in an order that does not depend on how they were asked."""
    places = {layer.name: place for place, layer in enumerate(backbone.layers)}
    return tuple(sorted(set(taps), key=lambda tap: (places[tap.layer], tap.key)))


def _size(session: "Future[_Session]") -> int:
    if not session.done() or session.exception() is not None:
        return 0
    return session.result().n_bytes

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

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.cutting import Outline
from icecore.server.backbones.running.freed_memory import give_back
from icecore.server.backbones.running.loaded import FloatArray, Loaded
from icecore.server.backbones.running.shared_weights import SharedWeights
from icecore.wire.taps import TapId

_Key: TypeAlias = tuple[TapId, ...]

OUTLINES = 16
"""Backbones of which more sessions can be made without their graph being checked again."""


class Sessions:
    """An LRU of cut sessions. Those of equal weights share them.

    Args:
        max_bytes: what all sessions kept may hold together, by estimate; the one
            used last is kept even if it alone is larger. The maps of a pass are not
            counted: they lie in one arena for all, as large as the largest pass needed.
        threads: threads of ONNX Runtime a session.
    """

    def __init__(self, *, max_bytes: int, threads: int) -> None:
        self._max_bytes = max_bytes
        self._threads = threads
        self._weights = SharedWeights()
        self._lock = Lock()
        self._kept: OrderedDict[_Key, Future[Loaded]] = OrderedDict()
        self._outlines: dict[str, Outline] = {}
        # Held while a session is made, which needs its weights several times over.
        self._making = Lock()

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
    def n_kept(self) -> int:
        """How many sessions are kept, those being made too."""
        return len(self._kept)

    @property
    def held_bytes(self) -> int:
        """Estimated bytes of the sessions kept; weights that several share count once."""
        with self._lock:
            return self._held()

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights that sessions share, those of sessions still running too."""
        return self._weights.n_bytes

    def forget(self, digest: str) -> None:
        """Let all go that is kept of a backbone; sessions that run finish first."""
        with self._lock:
            for key in [key for key in self._kept if key[0].digest == digest]:
                del self._kept[key]
            self._outlines.pop(digest, None)
        give_back()

    def close(self) -> None:
        """Let all sessions go; those running finish first. The next run makes them anew."""
        with self._lock:
            self._kept.clear()
            self._outlines.clear()
        give_back()

    def _session(self, backbone: Backbone, key: _Key) -> Loaded:
        with self._lock:
            future = self._kept.get(key)
            if future is not None:
                self._kept.move_to_end(key)
            else:
                mine: Future[Loaded] = Future()
                self._kept[key] = mine
        if future is not None:
            return future.result()
        try:
            with self._making:
                session = self._made(backbone, key)
        except BaseException as error:
            with self._lock:
                if self._kept.get(key) is mine:
                    del self._kept[key]
            mine.set_exception(error)
            raise
        mine.set_result(session)
        self._evict()
        give_back()
        return session

    def _made(self, backbone: Backbone, key: _Key) -> Loaded:
        graph = backbone.graph
        with self._lock:
            outline = self._outlines.get(backbone.digest)
        if outline is None:
            outline = Outline(graph, backbone.layers)
            with self._lock:
                self._outlines[backbone.digest] = outline
                while len(self._outlines) > OUTLINES:
                    del self._outlines[next(iter(self._outlines))]
        return Loaded(outline.cut(graph, key), threads=self._threads, weights=self._weights)

    def _evict(self) -> None:
        """Drop those used longest ago until the rest fits; threads running one keep it alive."""
        with self._lock:
            for key in list(self._kept)[:-1]:
                if self._held() <= self._max_bytes:
                    return
                if self._kept[key].done():
                    del self._kept[key]

    def _held(self) -> int:
        """Bytes of what is kept; called with the lock held."""
        done = [future for future in self._kept.values() if future.done()]
        kept = [future.result() for future in done if future.exception() is None]
        shared = {weight for session in kept for weight in session.weights.values()}
        return sum(s.own_bytes for s in kept) + sum(weight.n_bytes for weight in shared)


def _in_order(backbone: Backbone, taps: Sequence[TapId]) -> _Key:
    """Each tap once, in an order that does not depend on how they were asked."""
    places = {layer.name: place for place, layer in enumerate(backbone.layers)}
    return tuple(sorted(set(taps), key=lambda tap: (places[tap.layer], tap.key)))

"""Cut sessions of ONNX Runtime, made at first use and kept while they fit.

Blocking and thread-safe: many threads may run, also the same session. It knows
nothing of images, tenants or turns.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Final

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.cutting import Outline
from icecore.server.backbones.running.devices import CPU, Device
from icecore.server.backbones.running.feeds import Feed, fed, feed_of
from icecore.server.backbones.running.freed_memory import give_back
from icecore.server.backbones.running.kept_sessions import Form, KeptSessions, Session
from icecore.server.backbones.running.loaded import FloatArray, InputArray, Loaded
from icecore.server.backbones.running.on_device import OnDevice
from icecore.server.backbones.running.shared_weights import SharedWeights
from icecore.server.backbones.running.wishes import Wishes
from icecore.wire.taps import TapId

OUTLINES = 16
"""Backbones of which more sessions can be made without their graph being checked again."""

MISSED_OFTEN: Final = 64
"""Passes that could have been shared before a session is made for it: callers may read layers in
thousands of combinations, each of which comes once."""
_MOST_MISSED: Final = 256


@dataclass(frozen=True, slots=True)
class Readied:
    """A pass that can begin: `run` gives its codes, on so many threads."""

    run: Callable[[], list[FloatArray]]
    threads: int


class Sessions:
    """An LRU of cut sessions. Those of equal weights share them.

    Args:
        max_bytes: what all sessions kept may hold together, by estimate; the one
            used last is kept even if it alone is larger. The maps of a pass are not
            counted: they lie in one arena for all, as large as the largest pass needed.
        threads: of ONNX Runtime a pass, where `run` is not told.
        device: where networks run.
    """

    def __init__(self, *, max_bytes: int, threads: int, device: Device = CPU) -> None:
        self._threads = threads
        self.device = device
        self._weights = SharedWeights()
        self._kept = KeptSessions(max_bytes)
        self._lock = Lock()
        self._outlines: dict[str, Outline] = {}
        # Held while a session is made, which needs its weights several times over.
        self._making = Lock()
        self._wishes = Wishes()
        self._missed: Counter[Form] = Counter()

    def run(
        self,
        backbone: Backbone,
        taps: Sequence[TapId],
        inputs: InputArray,
        *,
        threads: int | None = None,
    ) -> list[FloatArray]:
        """Return the codes of `inputs`, one array a tap in the order of `taps`; see `readied`."""
        return self.readied(backbone, taps, inputs, threads=threads).run()

    def readied(
        self,
        backbone: Backbone,
        taps: Sequence[TapId],
        inputs: InputArray,
        *,
        threads: int | None = None,
    ) -> Readied:
        """Return a pass over `inputs` that can begin; its session is made first, if need be.

        Args:
            inputs: (n, 3, h, w) float32, C-contiguous, as the recipe makes them; or what the
                network sees before any arithmetic: (n, h, w, 3) or (n, 3, h, w) uint8 RGB.
            threads: for this pass; codes do not depend on it. The first pass of some taps has
                one, while a session of more is made in the background.

        Returns:
            its `run` gives one array a tap in the order of `taps`: (n, d) float32, or
            (n, c, h, w) for pooling NONE; owned by the caller.

        Raises:
            TapMismatch: a tap is not of this backbone.
            LayerNotFound: a tap names no layer of it.
            ValueError: no taps, or inputs of another dtype or shape.
        """
        if not taps:
            raise ValueError("there are no taps to run")
        feed = feed_of(inputs, backbone.recipe)
        for tap in taps:
            backbone.layer_of(tap)
        wanted = (threads or self._threads) if self.device.is_cpu else 1
        if len(taps) == 1:
            form = Form((taps[0],), feed, wanted)
            session, n_threads = self._session(backbone, form)
            return Readied(partial(session.run, inputs), n_threads)
        form = Form(_in_order(backbone, taps), feed, wanted)
        session, n_threads = self._session(backbone, form)

        def run() -> list[FloatArray]:
            codes = dict(zip(form.taps, session.run(inputs), strict=True))
            return [codes[tap] for tap in taps]

        return Readied(run, n_threads)

    def is_at_hand(self, backbone: Backbone, taps: Sequence[TapId], feed: Feed) -> bool:
        """Whether a pass can begin at once.

        Where it cannot, and was asked for often, the session is made meanwhile.
        """
        form = Form(_in_order(backbone, taps), feed, 1)
        if self._kept.is_ready(form):
            return True
        with self._lock:
            if len(self._missed) > _MOST_MISSED:
                self._missed.clear()
            self._missed[form] += 1
            is_worth_it = self._missed[form] >= MISSED_OFTEN
            if is_worth_it:
                del self._missed[form]
        if is_worth_it:
            self._wishes.add(form, partial(self._make, backbone, form))
        return False

    def apart(self, backbone: Backbone, taps: Sequence[TapId], *, threads: int) -> Session:
        """Return a session that takes floats and is not kept, to be tried out.

        Raises:
            TapMismatch, LayerNotFound, BackboneNotFound.
        """
        return self._made(backbone, Form(_in_order(backbone, taps), Feed.FLOATS, threads))

    @property
    def n_kept(self) -> int:
        """How many sessions are kept, those being made too."""
        return self._kept.n_kept

    @property
    def held_bytes(self) -> int:
        """Estimated bytes of the sessions kept; weights that several share count once."""
        return self._kept.held_bytes

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights that sessions share, those of sessions still running too."""
        return self._weights.n_bytes

    def forget(self, digest: str) -> None:
        """Let all go that is kept of a backbone; sessions that run finish first."""
        self._kept.forget(digest)
        with self._lock:
            self._outlines.pop(digest, None)
        give_back()

    def close(self) -> None:
        """Let all sessions go; those running finish first. The next run makes them anew."""
        self._wishes.wait()
        self._kept.clear()
        with self._lock:
            self._outlines.clear()
        give_back()

    def _session(self, backbone: Backbone, form: Form) -> tuple[Session, int]:
        """A session, and how many threads it has."""
        if form.threads == 1:
            return self._kept.get(form) or self._make(backbone, form), 1
        if (wide := self._kept.get(form, is_waiting=False)) is not None:
            return wide, form.threads
        narrow, n_threads = self._session(backbone, replace(form, threads=1))
        if self._kept.has_room_for(form, narrow):
            self._wishes.add(form, partial(self._make, backbone, form))
        return narrow, n_threads

    def _make(self, backbone: Backbone, form: Form) -> Session:
        return self._kept.make(form, partial(self._made, backbone, form))

    def _made(self, backbone: Backbone, form: Form) -> Session:
        with self._making:
            graph = backbone.graph
            with self._lock:
                outline = self._outlines.get(backbone.digest)
            if outline is None:
                outline = Outline(graph, backbone.layers)
                with self._lock:
                    self._outlines[backbone.digest] = outline
                    while len(self._outlines) > OUTLINES:
                        del self._outlines[next(iter(self._outlines))]
            cut = outline.cut(graph, form.taps)
            feeding = (
                None
                if form.feed is Feed.FLOATS
                else partial(fed, feed=form.feed, recipe=backbone.recipe)
            )
            made: Session
            if self.device.is_cpu:
                made = Loaded(cut, threads=form.threads, weights=self._weights, fed=feeding)
            else:
                made = OnDevice(cut, device=self.device, fed=feeding)
        return made


def _in_order(backbone: Backbone, taps: Sequence[TapId]) -> tuple[TapId, ...]:
    """Each tap once, in an order that does not depend on how they were asked."""
    places = {layer.name: place for place, layer in enumerate(backbone.layers)}
    return tuple(sorted(set(taps), key=lambda tap: (places[tap.layer], tap.key)))

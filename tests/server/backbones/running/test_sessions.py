"""Sessions give what the graph gives, to any number of threads, within their bytes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.cutting import Outline
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.errors import LayerNotFound, TapMismatch
from icecore.wire.taps import Activation, Pooling, PoolingKind, TapId
from toys import toy_backbone

Array = npt.NDArray[np.float32]
Cut = Callable[..., bytes]


def images(backbone: Backbone, n: int, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    return random.normal(size=(n, *backbone.recipe.shape)).astype(np.float32)


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[TapId, ...]]:
    """The taps of every session made, in the order made."""
    made: list[tuple[TapId, ...]] = []
    real: Cut = Outline.cut

    def counted(outline: Outline, graph: bytes, taps: tuple[TapId, ...]) -> bytes:
        made.append(taps)
        return real(outline, graph, taps)

    monkeypatch.setattr(Outline, "cut", counted)
    return made


def test_codes_alone_are_those_in_a_batch(lite0: Backbone) -> None:
    """To 1e-5 of the largest: blocks of a batch may be summed in another order.

    On the machines tried so far they are equal to the bit.
    """
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    inputs = images(lite0, 3)
    batch = sessions.run(lite0, lite0.core, inputs)
    for row in range(3):
        alone = sessions.run(lite0, lite0.core, inputs[row : row + 1])
        for tap, one, all_ in zip(lite0.core, alone, batch, strict=True):
            scale = float(all_.max())
            assert np.abs(one[0] - all_[row]).max() <= 1e-5 * scale, f"image {row} at '{tap}'"


def test_codes_are_never_negative(lite0: Backbone) -> None:
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    for codes in sessions.run(lite0, lite0.core, images(lite0, 2)):
        assert codes.min() >= 0.0
        assert codes.dtype == np.float32


def test_any_order_of_taps_shares_a_session(cuts: list[tuple[TapId, ...]]) -> None:
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 20, threads=1)
    one, two, three = toy.core
    inputs = images(toy, 2)
    forward = sessions.run(toy, [one, two, three], inputs)
    backward = sessions.run(toy, [three, two, one, two], inputs)
    assert len(cuts) == 1
    for a, b in zip(forward, backward[2::-1], strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(backward[1], backward[3])


def test_what_is_read_differently_is_another_session(cuts: list[tuple[TapId, ...]]) -> None:
    toy, other = toy_backbone(), toy_backbone(1)
    sessions = Sessions(max_bytes=1 << 20, threads=1)
    layer = toy.layer("1")
    taps = [
        toy.tap(layer),
        toy.tap(layer, Activation.NONE),
        toy.tap(layer, pooling=Pooling(PoolingKind.MAX)),
        toy.tap(layer, pooling=Pooling(PoolingKind.GEM, 2.0)),
        toy.tap(layer, pooling=Pooling(PoolingKind.GEM, 3.0)),
    ]
    codes = [sessions.run(toy, [tap], images(toy, 1))[0] for tap in taps]
    codes.append(sessions.run(other, [other.tap(layer)], images(toy, 1))[0])
    assert len(cuts) == 6
    assert len({array.tobytes() for array in codes}) == 6


def test_those_used_longest_ago_go_first(cuts: list[tuple[TapId, ...]]) -> None:
    toy = toy_backbone()
    one, two, three = toy.core
    inputs = images(toy, 1)
    roomy = Sessions(max_bytes=1 << 20, threads=1)
    for tap in (one, two):
        roomy.run(toy, [tap], inputs)
    both = roomy.held_bytes

    tight = Sessions(max_bytes=both, threads=1)
    cuts.clear()
    for tap in (one, two, one, three, three, one, two):
        tight.run(toy, [tap], inputs)
        assert tight.held_bytes <= both or cuts[-1] == (three,)
    assert cuts[:3] == [(one,), (two,), (three,)]
    assert cuts[-1] == (two,), "what made room for 'three' is made again"


def test_one_larger_than_all_room_still_runs(cuts: list[tuple[TapId, ...]]) -> None:
    toy = toy_backbone()
    sessions = Sessions(max_bytes=0, threads=1)
    for _ in range(3):
        sessions.run(toy, toy.core, images(toy, 1))
    assert len(cuts) == 1


def test_many_threads_make_one_session_and_get_their_own_codes(
    cuts: list[tuple[TapId, ...]],
) -> None:
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 20, threads=1)
    expected = [
        Sessions(max_bytes=1 << 20, threads=1).run(toy, toy.core, images(toy, 2, seed))
        for seed in range(24)
    ]
    cuts.clear()
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda seed: sessions.run(toy, toy.core, images(toy, 2, seed)), range(24))
        )
    assert len(cuts) == 1
    for a, b in zip(expected, made, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_session_that_could_not_be_made_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 20, threads=1)
    real: Cut = Outline.cut

    def fails(outline: Outline, graph: bytes, taps: tuple[TapId, ...]) -> bytes:
        raise MemoryError("no room")

    monkeypatch.setattr(Outline, "cut", fails)
    with pytest.raises(MemoryError):
        sessions.run(toy, toy.core, images(toy, 1))
    assert sessions.held_bytes == 0
    monkeypatch.setattr(Outline, "cut", real)
    assert len(sessions.run(toy, toy.core, images(toy, 1))) == 3


def test_close_lets_all_go_and_the_next_run_makes_them_anew(
    cuts: list[tuple[TapId, ...]],
) -> None:
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 20, threads=1)
    before = sessions.run(toy, toy.core, images(toy, 1))
    sessions.close()
    sessions.close()
    assert sessions.held_bytes == 0
    after = sessions.run(toy, toy.core, images(toy, 1))
    assert len(cuts) == 2
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_taps_of_others_are_refused() -> None:
    toy, other = toy_backbone(), toy_backbone(1)
    sessions = Sessions(max_bytes=1 << 20, threads=1)
    with pytest.raises(TapMismatch):
        sessions.run(toy, other.core, images(toy, 1))
    with pytest.raises(LayerNotFound):
        sessions.run(toy, [TapId(digest=toy.digest, layer="four")], images(toy, 1))
    with pytest.raises(ValueError, match="no taps"):
        sessions.run(toy, [], images(toy, 1))


def test_inputs_of_another_shape_or_dtype_are_refused() -> None:
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 20, threads=1)
    with pytest.raises(ValueError, match=r"must be float32 of shape \(n, 3, 8, 8\)"):
        sessions.run(toy, toy.core, np.zeros((1, 3, 9, 8), np.float32))
    with pytest.raises(ValueError, match="float64"):
        sessions.run(toy, toy.core, np.zeros((1, 3, 8, 8)))  # type: ignore[arg-type]

"""What is believed of axes is held against index arrays that numpy moves."""

from math import prod

import numpy as np
import pytest

from icecore.server.backbones.graphs.axes import Axes, layout_of, map_axes, regroup
from icecore.server.backbones.graphs.layouts import Layout

SIZES = (5, 12, 4, 6)


def split_at_random(random: np.random.Generator, total: int, n_axes: int) -> list[int]:
    """Sizes whose product is `total`."""
    factors = [5, 2, 2, 3, 2, 2, 2, 3]
    assert prod(factors) == total
    places = np.sort(random.integers(0, n_axes, size=len(factors)))
    return [prod(f for f, p in zip(factors, places, strict=True) if p == a) for a in range(n_axes)]


@pytest.mark.parametrize("seed", range(60))
def test_a_layout_is_believed_only_where_the_values_lie_so(seed: int) -> None:
    random = np.random.default_rng(seed)
    n, c, h, w = np.indices(SIZES)
    fields = [n, c, h, w]
    axes: Axes = map_axes(SIZES)
    for _ in range(6):
        if random.random() < 0.5:
            order = [int(i) for i in random.permutation(len(axes))]
            if random.random() < 0.7:
                order = [0, *[i for i in order if i]]
            fields = [field.transpose(order) for field in fields]
            axes = tuple(axes[i] for i in order)
        else:
            sizes = split_at_random(random, prod(SIZES), int(random.integers(2, 6)))
            fields = [field.reshape(sizes) for field in fields]
            axes = regroup(axes, sizes)
        assert len(axes) == fields[0].ndim
        believed = layout_of(axes)
        if believed is not None:
            assert lies_so(believed, *fields), (seed, believed, axes)


def lies_so(layout: Layout, n: np.ndarray, c: np.ndarray, h: np.ndarray, w: np.ndarray) -> bool:
    """Whether images, channels and places follow the axes as a layout says."""
    shape = n.shape
    if not (n == n[(slice(None),) + (slice(0, 1),) * (n.ndim - 1)]).all():
        return False
    match layout:
        case Layout.MAP:
            return bool(
                (h == np.arange(shape[2])[:, None]).all() and (w == np.arange(shape[3])).all()
            )
        case Layout.ROWS:
            rows = h == np.arange(shape[1])[:, None, None]
            return bool(rows.all() and (w == np.arange(shape[2])[:, None]).all())
        case Layout.TOKENS:
            return bool((h * SIZES[3] + w == np.arange(shape[1])[:, None]).all())
        case Layout.VECTOR:
            return True


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("reshape", (5, 12, 24)), ("transpose", (0, 2, 1))], Layout.TOKENS),
        ([("transpose", (0, 2, 3, 1))], Layout.ROWS),
        ([("transpose", (0, 3, 2, 1)), ("reshape", (5, 24, 12))], None),
        ([("reshape", (5, 3, 4, 4, 6)), ("transpose", (0, 2, 1, 3, 4))], None),
        (
            [
                ("reshape", (5, 3, 4, 4, 6)),
                ("transpose", (0, 2, 1, 3, 4)),
                ("reshape", (5, 12, 4, 6)),
            ],
            Layout.MAP,
        ),
        (
            [
                ("reshape", (5, 12, 2, 2, 6)),
                ("transpose", (0, 1, 3, 2, 4)),
                ("reshape", (5, 12, 4, 6)),
            ],
            None,
        ),
        ([("reshape", (5, 288))], Layout.VECTOR),
        ([("reshape", (60, 4, 6))], None),
        ([("reshape", (5, 24, 4, 3))], None),
    ],
)
def test_channels_are_followed_through_moves(
    steps: list[tuple[str, tuple[int, ...]]], expected: Layout | None
) -> None:
    """Tokens, TensorFlow's rows, columns first, channels or rows shuffled, and what is lost."""
    axes: Axes = map_axes(SIZES)
    for step, argument in steps:
        axes = (
            regroup(axes, argument)
            if step == "reshape"
            else tuple(axes[place] for place in argument)
        )
    assert layout_of(axes) == expected

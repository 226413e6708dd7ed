"""View: how a tensor lies over the image; and how nodes that slide a window change it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx

from icecore.server.backbones.graphs.attributes import Attributes
from icecore.server.backbones.graphs.axes import Axes, is_whole, map_axes
from icecore.server.backbones.graphs.spans import PIXEL, Span


@dataclass(frozen=True, slots=True)
class View:
    """A tensor's axes, what its rows and columns see, and its tokens: `prefix` and then `grid`."""

    axes: Axes
    rows: Span = PIXEL
    columns: Span = PIXEL
    prefix: int = 0
    grid: tuple[int, int] = (1, 1)

    def everywhere(self) -> "View":
        """The same, seeing the whole image at each place."""
        return replace(self, rows=self.rows.everywhere(), columns=self.columns.everywhere())


def window(
    node: onnx.NodeProto,
    view: View,
    before: Sequence[int],
    after: Sequence[int],
    kernel: Sequence[int],
) -> View:
    """Return the view behind a convolution or pooling window over a map (n, c, h, w).

    Args:
        before: sizes of the map.
        after: sizes of what is made.
        kernel: (rows, columns).
    """
    given = Attributes(node)
    strides = given.integers("strides") or [1, 1]
    dilations = given.integers("dilations") or [1, 1]
    is_spread = node.op_type == "ConvTranspose"
    made = []
    for side, span in enumerate((view.rows, view.columns)):
        reach = {
            "kernel": kernel[side],
            "stride": strides[side],
            "dilation": dilations[side],
            "before": _padded(given, before[2 + side], after[2 + side], side, kernel, strides),
        }
        made.append(span.spread(**reach) if is_spread else span.window(**reach))
    return View(map_axes(after), made[0], made[1])


def as_map(view: View, sizes: Sequence[int], image: tuple[int, int]) -> View:
    """Return the view with axes (n, c, h, w), which a node says that they are.

    Where they were not known to be, steps follow from the image's sides.
    """
    if is_whole(view.axes[2], "h") and is_whole(view.axes[3], "w"):
        return view
    spans = [
        Span(span.first, max(span.last, span.first + step - 1), step)
        for span, side, size in zip((view.rows, view.columns), image, sizes[2:], strict=True)
        for step in (side / max(1, size),)
    ]
    return View(map_axes(sizes), spans[0], spans[1])


def _padded(
    given: Attributes,
    before: int,
    after: int,
    side: int,
    kernel: Sequence[int],
    strides: Sequence[int],
) -> int:
    """Positions padded in front on one side."""
    rule = given.text("auto_pad", "NOTSET")
    if rule in ("SAME_UPPER", "SAME_LOWER"):
        dilation = (given.integers("dilations") or [1, 1])[side]
        total = max(0, (after - 1) * strides[side] + (kernel[side] - 1) * dilation + 1 - before)
        return total // 2 if rule == "SAME_UPPER" else -(-total // 2)
    pads = given.integers("pads") if rule == "NOTSET" else None
    return pads[side] if pads else 0

"""What is inside of a larger operation, and so no place to read codes from.

Found by structure, never by name:

- *gates*: what a map is multiplied by. A squeeze-and-excitation gate says how much
  of each channel to keep; it is squeezed from the same map, which is a layer, and the
  product is one too. Its Relu thresholds no trunk, so it has no depth;
- *decomposed activation functions*: x * sigmoid(x), x * Clip(x + 3, 0, 6) / 6,
  x * (1 + erf(x / 1.41)) * 0.5, Relu(x) - a * Relu(-x), and norms. Only the result counts;
- *attention*: queries, keys, values, scores and their weighted sum;
- products whose bias is added by a node of its own: the sum counts.
"""

from functools import cached_property

from icecore.server.backbones.graphs.axes import has_places, layout_of
from icecore.server.backbones.graphs.geometry import Geometry
from icecore.server.backbones.graphs.graph import set_bits
from icecore.server.backbones.graphs.wiring import POINTWISE, PRODUCTS, VIEWS, Wiring

_SCALINGS = ("Mul", "Div", "Add", "Sub")
_NORMS = ("LayerNormalization", "RMSNormalization", "LpNormalization")
_CUTS = ("Split", "Slice", "Gather", "Concat", "Expand", "Pad")


class Insides:
    """Tensors that are inside of something: `hidden`; and `functions`, results that hide theirs."""

    def __init__(self, wiring: Wiring, geometry: Geometry) -> None:
        self._wiring = wiring
        self._graph = wiring.graph
        self._geometry = geometry
        self.hidden: set[str] = set()
        self.functions: set[str] = set()
        for place in wiring.places:
            op = wiring.node(place).op_type
            read = wiring.inputs(place)
            if op in ("Mul", "Div") and len(read) == 2:
                self._look_at_gate(place, *read)
            elif op in ("Add", "Sub") and len(read) == 2:
                self._look_at_pieces(place, *read)
            elif op == "Attention" or (op == "MatMul" and len(read) == 2):
                self._hide_operands(place)
            elif self._is_affine(place):
                self._hide_unbiased(read[0])
        self._pass_on_functions()

    @cached_property
    def _pointwise(self) -> int:
        """Bits of the nodes that work value by value."""
        bits = 0
        for place in self._wiring.places:
            if self._wiring.node(place).op_type in POINTWISE:
                bits |= 1 << place
        return bits

    def _look_at_gate(self, place: int, left: str, right: str) -> None:
        """Hide what only makes a gate, or the pieces of a function of one tensor."""
        node = self._wiring.node(place)
        needs_left, needs_right = self._needs(left), self._needs(right)
        mine, others = needs_left & ~needs_right, needs_right & ~needs_left
        if not (mine | others) & ~self._pointwise:
            if node.op_type == "Div" and not mine and not others:
                return
            self.functions.add(node.output[0])
            self._hide(mine | others, place)
            return
        for gate, region in ((left, mine), (right, others)):
            other = right if gate == left else left
            if self._is_smaller(gate, other) or self._squeezes(region, other):
                self._hide(region, place)

    def _look_at_pieces(self, place: int, left: str, right: str) -> None:
        """Hide the pieces of a function that a sum puts together: Relu(x) - a * Relu(-x)."""
        needs_left, needs_right = self._needs(left), self._needs(right)
        mine, others = needs_left & ~needs_right, needs_right & ~needs_left
        if mine and others and not (mine | others) & ~self._pointwise:
            self.functions.add(self._wiring.node(place).output[0])
            self._hide(mine | others, place)

    def _needs(self, tensor: str) -> int:
        """Ancestors without wrappings and constants."""
        return self._graph.needs(tensor) & self._all

    @cached_property
    def _all(self) -> int:
        bits = 0
        for place in self._wiring.places:
            bits |= 1 << place
        return bits

    def _is_smaller(self, gate: str, other: str) -> bool:
        return 0 < self._wiring.n_values(gate) < self._wiring.n_values(other)

    def _squeezes(self, region: int, other: str) -> bool:
        """Whether a region starts with the mean of the other map: also where that is 1 x 1."""
        first = next(set_bits(region), None)
        if first is None or self._wiring.inputs(first) != (other,):
            return False
        return self._wiring.node(first).op_type in ("GlobalAveragePool", "ReduceMean")

    def _hide(self, region: int, place: int) -> None:
        """Hide a region's outputs, if nothing but the node at `place` reads what comes out."""
        places = set(set_bits(region))
        outputs = [name for one in places for name in self._wiring.node(one).output]
        if all(r in places or r == place for name in outputs for r in self._wiring.readers(name)):
            self.hidden.update(outputs)

    def _hide_operands(self, place: int) -> None:
        """Hide an attention's product, and what its operands are made by up to learned products."""
        self.hidden.update(self._wiring.node(place).output)
        waiting = list(self._wiring.inputs(place))
        while waiting:
            name = waiting.pop()
            maker = self._graph.place(name)
            if maker is None or name in self.hidden:
                continue
            read = self._wiring.inputs(maker)
            op = self._wiring.node(maker).op_type
            if op in PRODUCTS and len(read) == 1:
                self.hidden.add(name)
            elif op in (*VIEWS, *_CUTS, *_SCALINGS, "Softmax", "MatMul") or (
                op in _NORMS and not self._is_readable(name)
            ):
                if op in ("Add", "Sub") and len(read) == 2 and self._is_readable(name):
                    continue  # a residual sum that is attended to as it is
                self.hidden.add(name)
                waiting.extend(read)

    def _is_readable(self, name: str) -> bool:
        view = self._geometry.view(name)
        return view is not None and layout_of(view.axes) is not None

    def _is_affine(self, place: int) -> bool:
        """Whether a node adds a constant to one tensor."""
        return self._wiring.node(place).op_type == "Add" and len(self._wiring.inputs(place)) == 1

    def _hide_unbiased(self, name: str) -> None:
        maker = self._graph.maker(name)
        if maker is None or len(self._wiring.readers(name)) != 1:
            return
        if maker.op_type in (*PRODUCTS, "Mul", "Div"):
            self.hidden.add(name)

    def _pass_on_functions(self) -> None:
        """A function's result is what its last scaling by a number makes."""
        for place in self._wiring.places:
            node, read = self._wiring.node(place), self._wiring.inputs(place)
            if node.op_type not in _SCALINGS or len(read) != 1 or read[0] not in self.functions:
                continue
            if self._wiring.readers(read[0]) != [place]:
                continue
            if all(self._wiring.is_single(name) for name in self._wiring.constants(place)):
                self.hidden.add(read[0])
                self.functions.discard(read[0])
                self.functions.add(node.output[0])


def sees_less(geometry: Geometry, before: str, after: str) -> bool:
    """Whether a reduction leaves no places of a map: pooling, and not a statistic of channels."""
    old, new = geometry.view(before), geometry.view(after)
    if old is None or new is None:
        return False
    had = any(has_places(one) or any(p.kind == "t" for p in one) for one in old.axes)
    has = any(has_places(one) or any(p.kind == "t" for p in one) for one in new.axes)
    channels = any(part.kind == "c" for one in new.axes for part in one)
    return had and not has and channels

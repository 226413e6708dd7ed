"""The blocks of a network that has no thresholds, found by structure.

A block holds a pointwise activation function (a gate's or an attention's Softmax is
none) and ends on the *trunk*: at a tensor that everything from the image to the last
layer passes through. It ends

- at a residual sum; where the sum goes into an activation function and nowhere
  else, behind that;
- at a linear bottleneck: a convolution with no activation function behind it, whose
  next is another product, a sum or a skip past it (MBConv without one);
- behind the activation function of a convolution that mixes what was put side by side
  (MobileViT, CSP and VoVNet stages);
- behind the last activation function before the places are averaged, if that comes
  after the last of these (EfficientNet's head convolution, the features that are
  usually read).

So a ViT's block is attention and MLP, a ConvNeXt's stem and downsampling are part of
no block's end, and an EfficientNet's stem belongs to its first block. A network with
neither sums nor bottlenecks is ranked by its activation functions, one without those
too by the last map of each size.
"""

from collections.abc import Sequence

from icecore.server.backbones.graphs.insides import Insides
from icecore.server.backbones.graphs.wiring import FUNCTIONS, Wiring

_NORMS = ("BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization")


def blocks_of(
    wiring: Wiring, insides: Insides, names: Sequence[str], sides: Sequence[tuple[int, int]]
) -> set[str]:
    """Return the names of the layers that end a block.

    Args:
        names: cores of all layers, in topological order.
        sides: their heights and widths.
    """
    size = dict(zip(names, sides, strict=True))
    activated = [name for name in names if _is_activated(wiring, insides, name)]
    ends = _ends(wiring, [n for n in names if size[n] != (1, 1)], set(activated))
    if ends:
        return ends
    with_places = {name for name in activated if size[name] != (1, 1)}
    if with_places:
        return with_places
    return set({side: name for name, side in size.items()}.values())


def _ends(wiring: Wiring, names: Sequence[str], activated: set[str]) -> set[str]:
    trunk = _trunk(wiring)
    ends: set[str] = set()
    last: str | None = None
    is_due = False
    for name in names:
        is_due = is_due or name in activated
        if name not in trunk:
            continue
        if is_due and (
            (_is_sum(wiring, name) and not _is_activated_next(wiring, activated, name))
            or (name in activated and _is_behind_sum(wiring, name))
            or (name in activated and _is_mix(wiring, activated, name, trunk))
            or _is_bottleneck(wiring, name)
        ):
            ends.add(name)
            is_due, last = False, None
        elif name in activated:
            last = name
    if ends and last is not None:
        ends.add(last)
    return ends


def _trunk(wiring: Wiring) -> set[str]:
    """Tensors that nothing on the way to the last output passes by."""
    graph = wiring.graph
    targets = [n for n in graph.outputs if graph.is_data(n)]
    end = max(targets, key=lambda n: (graph.needs(n).bit_count(), graph.place(n) or 0))
    needed = graph.needs(end)
    waiting = {graph.input: sum(1 for r in wiring.readers(graph.input) if needed >> r & 1)}
    trunk = {wiring.core(end)}
    for place in wiring.places:
        if not needed >> place & 1:
            continue
        for name in dict.fromkeys(wiring.inputs(place)):
            if name in waiting:
                waiting[name] -= 1
                if not waiting[name]:
                    del waiting[name]
        for name in wiring.node(place).output:
            n_readers = sum(1 for r in wiring.readers(name) if needed >> r & 1)
            if n_readers:
                waiting[name] = n_readers
        if len(waiting) == 1:
            trunk.update(waiting)
    return trunk


def _is_activated(wiring: Wiring, insides: Insides, name: str) -> bool:
    node = wiring.graph.maker(name)
    return name in insides.functions or (node is not None and node.op_type in FUNCTIONS)


def _is_sum(wiring: Wiring, name: str) -> bool:
    """Whether a tensor adds two of its own size that depend on the image."""
    node, place = wiring.graph.maker(name), wiring.graph.place(name)
    if node is None or place is None or node.op_type not in ("Add", "Sum"):
        return False
    read = wiring.inputs(place)
    sizes = wiring.graph.sizes(name)
    return len(read) > 1 and all(wiring.graph.sizes(one) == sizes for one in read)


def _is_activated_next(wiring: Wiring, activated: set[str], name: str) -> bool:
    """Whether a tensor is only read to be activated."""
    readers = wiring.readers(name)
    made = [str(wiring.node(reader).output[0]) for reader in readers]
    result = next((one for one in made if one in activated), None)
    if result is None:
        return False
    inside = wiring.graph.needs(result)
    return all(inside >> reader & 1 for reader in readers)


def _is_behind_sum(wiring: Wiring, name: str) -> bool:
    place = wiring.graph.place(name)
    return place is not None and any(_is_sum(wiring, one) for one in wiring.inputs(place))


def _is_mix(wiring: Wiring, activated: set[str], name: str, trunk: set[str]) -> bool:
    """Whether an activated tensor is a convolution of what is put side by side on the trunk."""
    node = wiring.graph.maker(name)
    while node is not None and (node.op_type in _NORMS or node.output[0] in activated):
        # Of x and the pieces of a function of x, x is made first.
        read = wiring.inputs(wiring.graph.place(node.output[0]) or 0)
        node = wiring.graph.maker(min(read, key=lambda one: wiring.graph.place(one) or 0))
    if node is None or node.op_type != "Conv":
        return False
    joined = wiring.core(node.input[0])
    maker = wiring.graph.maker(joined)
    return joined in trunk and maker is not None and maker.op_type == "Concat"


def _is_bottleneck(wiring: Wiring, name: str) -> bool:
    """Whether a convolution's output, normalised or not, is read by products and skips only."""
    node = wiring.graph.maker(name)
    if node is not None and node.op_type in _NORMS:
        node = wiring.graph.maker(wiring.core(node.input[0]))
    if node is None or node.op_type != "Conv":
        return False
    readers = [wiring.node(reader) for reader in wiring.readers(name)]
    return bool(readers) and all(
        reader.op_type in ("Conv", "Concat")
        or (reader.op_type == "Add" and _is_sum(wiring, reader.output[0]))
        for reader in readers
    )

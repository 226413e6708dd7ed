"""Which layers are a classifier's logits and probabilities."""

from icecore.server.backbones.graphs.wiring import PRODUCTS, VIEWS, Wiring

LOGITS = "logits"
PROBABILITIES = "probabilities"

_SOFTMAXES = ("Softmax", "LogSoftmax")
_MEANS = ("GlobalAveragePool", "AveragePool", "ReduceMean")


def roles_of(wiring: Wiring) -> dict[str, str]:
    """Return role by the name of a tensor's core.

    Probabilities are what a Softmax makes that the graph puts out; logits what that
    Softmax reads, or else an output of the graph that nothing reads further and that
    a learned product makes, a mean of two (DeiT) too. Where the class maps are
    averaged last (SqueezeNet, Network in Network), a Relu may stand between: a
    convolution 1 x 1, Relu, mean. A network without its classifier that ends just so
    cannot be told from one with.
    """
    roles: dict[str, str] = {}
    for output in wiring.graph.outputs:
        core = wiring.core(output)
        if not wiring.graph.is_data(output) or wiring.readers(core):
            continue
        softmax = _before_views(wiring, core)
        node = wiring.graph.maker(softmax)
        if node is not None and node.op_type in _SOFTMAXES:
            roles[core] = PROBABILITIES
            roles[wiring.core(node.input[0])] = LOGITS
        elif _is_classified(wiring, core):
            roles[core] = LOGITS
    return roles


def _before_views(wiring: Wiring, core: str) -> str:
    """The tensor that views were taken of."""
    while True:
        node = wiring.graph.maker(core)
        if node is None or node.op_type not in VIEWS:
            return core
        core = wiring.core(node.input[0])


def _is_classified(wiring: Wiring, core: str) -> bool:
    """Whether a tensor is a learned product, a sum of some, or a mean of class maps."""
    name = _before_views(wiring, core)
    node, place = wiring.graph.maker(name), wiring.graph.place(name)
    if node is None or place is None or not _is_vector(wiring, core):
        return False
    read = wiring.inputs(place)
    if node.op_type in _MEANS:
        name = _before_views(wiring, read[0])
        node = wiring.graph.maker(name)
        if node is not None and node.op_type == "Relu":
            node = wiring.graph.maker(wiring.core(node.input[0]))
        return node is not None and node.op_type == "Conv" and _is_1x1(wiring, node.input[1])
    if node.op_type in PRODUCTS:
        return len(read) == 1
    if node.op_type == "Add" or (node.op_type in ("Mul", "Div") and len(read) == 1):
        return all(_is_classified(wiring, one) for one in read)
    return False


def _is_vector(wiring: Wiring, core: str) -> bool:
    """Whether an image has values along one axis only."""
    sizes = wiring.graph.sizes(core) or ()
    return len([size for size in sizes[1:] if size > 1]) <= 1


def _is_1x1(wiring: Wiring, weight: str) -> bool:
    return (wiring.graph.sizes(weight) or (0, 0, 0, 0))[2:] == (1, 1)

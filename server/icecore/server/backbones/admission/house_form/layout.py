"""The one image input of a graph: (n, 3, h, w), float32, with h and w fixed."""

from typing import Final, Literal, NamedTuple, TypeAlias

from onnx import TensorProto, helper

from icecore.server.backbones.admission.house_form.draft import Draft, attribute
from icecore.server.errors import GraphInvalid

Layout: TypeAlias = Literal["NCHW", "NHWC"]

USUAL_SIDE: Final = 224
"""Pixels; what networks trained on ImageNet take where neither file nor recipe says."""

_TO_NCHW: Final = [0, 3, 1, 2]
_TO_NHWC: Final = [0, 2, 3, 1]


class ImageInput(NamedTuple):
    """What a file says of its input; None is what it leaves open."""

    name: str
    layout: Layout
    batch: int | None
    height: int | None
    width: int | None


def image_input(draft: Draft) -> ImageInput:
    """Return the input as the file describes it.

    Raises:
        GraphInvalid: no input or several, or one that is no image of three channels.
    """
    if len(draft.inputs) != 1:
        names = [value.name for value in draft.inputs][:10]
        raise GraphInvalid(f"the graph has the inputs {names!r}, but must have one, the image")
    name = draft.inputs[0].name
    kind = draft.inputs[0].type.tensor_type
    shape = [d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT:
        found = TensorProto.DataType.Name(kind.elem_type).lower()
        raise GraphInvalid(
            f"the graph's input {name!r} is {found}, but must be float32: the recipe makes what "
            "comes after scaling and normalising"
        )
    if len(shape) != 4:
        raise GraphInvalid(
            f"the graph's input {name!r} has shape {_shown(shape)}, but must be (n, 3, h, w) "
            "or (n, h, w, 3)"
        )
    layout = _layout(draft, name, shape)
    channels = shape[1] if layout == "NCHW" else shape[3]
    if channels not in (3, None):
        raise GraphInvalid(
            f"the graph's input {name!r} has shape {_shown(shape)}, but must have three channels, "
            "(n, 3, h, w) or (n, h, w, 3)"
        )
    height, width = shape[2:] if layout == "NCHW" else shape[1:3]
    return ImageInput(name, layout, shape[0], height, width)


def settle_input(draft: Draft, found: ImageInput, size: tuple[int, int] | None) -> tuple[int, int]:
    """Fix height and width, put the channels first; return (height, width).

    What the file fixes stands; `size` is (h, w) for what it leaves open.
    """
    height, width = found.height, found.width
    if height is None or width is None:
        if size is None:
            side = height or width or USUAL_SIDE
            size = (side, side)
            draft.note(
                f"height and width were open and no recipe names them; "
                f"they are fixed at {height or side} x {width or side}"
            )
        else:
            draft.note(
                "height and width were open; they are fixed at the recipe's "
                f"{height or size[0]} x {width or size[1]}"
            )
        height, width = height or size[0], width or size[1]
    _declare(draft, found, height, width)
    if found.layout == "NHWC":
        _put_channels_first(draft, found.name)
    return height, width


def _declare(draft: Draft, found: ImageInput, height: int, width: int) -> None:
    """Write what is settled into the input, and nothing where it stands there already."""
    dims = draft.inputs[0].type.tensor_type.shape.dim
    sides = [3, height, width] if found.layout == "NCHW" else [height, width, 3]
    for dim, side in zip(dims[1:], sides, strict=True):
        if dim.dim_value != side:
            draft.note("the input's open dimensions are fixed")
            dim.dim_value = side
    if found.batch is None and not dims[0].dim_param:
        draft.note("the open batch is called 'n'")
        dims[0].dim_param = "n"


def _put_channels_first(draft: Draft, name: str) -> None:
    """Give the graph an NCHW input, and turn it where the graph reads its own."""
    dims = draft.inputs[0].type.tensor_type.shape.dim
    n, height, width = dims[0], dims[1].dim_value, dims[2].dim_value
    batch = n.dim_value if n.HasField("dim_value") else n.dim_param
    first = draft.fresh(f"{name}.nchw")
    draft.inputs = [
        helper.make_tensor_value_info(first, TensorProto.FLOAT, [batch, 3, height, width])
    ]
    turned = {
        node.output[0]
        for node in draft.nodes
        if node.op_type == "Transpose"
        and node.input[0] == name
        and list(attribute(node, "perm", [])) == _TO_NCHW
        and not draft.is_output(node.output[0])
    }
    draft.nodes = [node for node in draft.nodes if turned.isdisjoint(node.output)]
    draft.reroute(dict.fromkeys(turned, first))
    if any(name in node.input for node in draft.nodes) or draft.is_output(name):
        turn = helper.make_node("Transpose", [first], [name], name=name, perm=_TO_NHWC)
        draft.nodes.insert(0, turn)
    draft.note(f"the input {name!r} had its channels last; {first!r} has them first")


def _layout(draft: Draft, name: str, shape: list[int | None]) -> Layout:
    if shape[1] == 3:
        return "NCHW"
    if shape[3] == 3:
        return "NHWC"
    for node in draft.nodes:
        if name in node.input and node.op_type == "Transpose":
            return "NHWC" if list(attribute(node, "perm", [])) == _TO_NCHW else "NCHW"
    return "NCHW"


def _shown(shape: list[int | None]) -> str:
    return f"({', '.join('?' if d is None else str(d) for d in shape)})"

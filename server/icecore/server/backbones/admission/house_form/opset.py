"""Which versions of ONNX the house form may have, and how a file comes to one of them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import onnx
from onnx import helper, version_converter

from icecore.server.backbones.admission.house_form.plain_runs import is_runnable
from icecore.server.backbones.admission.house_form.reading import DEFAULT_DOMAINS, one_line
from icecore.server.errors import GraphInvalid

OLDEST: Final = 7
"""Before it, operators broadcast by attributes, and nothing lifts them reliably."""

LEAST: Final = 13
"""Of the house form: here Squeeze, Reduce and Split take their axes as inputs, as they still do."""

LEAST_IR: Final = 4
MOST_IR: Final = 11
"""File format versions: older ones list weights as inputs, newer ones onnxruntime 1.23 refuses."""

_USUAL_IR: Final = 8
"""What onnx itself writes for opset 13."""


@lru_cache(maxsize=1)
def most_opset() -> int:
    """The newest opset that the installed onnxruntime runs; newer files are lowered to it."""
    for version in range(onnx.defs.onnx_opset_version(), LEAST, -1):
        if is_runnable(_smallest_file(version)):
            return version
    return LEAST


def with_known_versions(
    model: onnx.ModelProto, changes: Sequence[str] = ()
) -> tuple[onnx.ModelProto, list[str]]:
    """Return the model within the versions that are run, and `changes` with those made here.

    Raises:
        GraphInvalid: too old, or an operator that does not exist in a version
            we run.
    """
    changes = list(changes)
    versions = [o.version for o in model.opset_import if o.domain in DEFAULT_DOMAINS]
    if len(versions) != 1 or versions[0] < OLDEST:
        raise GraphInvalid(
            f"the graph has opset {versions[0] if versions else None!r}, but {OLDEST} is the "
            "oldest that is read; export it anew"
        )
    given = {tensor.name for tensor in model.graph.initializer}
    if any(value.name in given for value in model.graph.input):
        values = [value for value in model.graph.input if value.name not in given]
        del model.graph.input[:]
        model.graph.input.extend(values)
        changes.append("weights that were also listed as inputs are weights only")
    if len(model.opset_import) > 1 or model.opset_import[0].domain:
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid("", versions[0]))
        changes.append("operator sets that nothing uses are left out")
    if not LEAST_IR <= model.ir_version <= MOST_IR:
        wanted = MOST_IR if model.ir_version > MOST_IR else _USUAL_IR
        changes.append(f"the file's format is version {wanted} in place of {model.ir_version}")
        model.ir_version = wanted
    wanted = min(max(versions[0], LEAST), most_opset())
    if wanted != versions[0]:
        model = _converted(model, versions[0], wanted)
        changes.append(f"operators are those of opset {wanted} in place of {versions[0]}")
    return model, changes


def _smallest_file(version: int) -> bytes:
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", version)], ir_version=_USUAL_IR
    )
    return bytes(model.SerializeToString())


def _converted(model: onnx.ModelProto, found: int, wanted: int) -> onnx.ModelProto:
    try:
        made = version_converter.convert_version(model, wanted)
    except (RuntimeError, ValueError, IndexError, version_converter.ConvertError) as error:
        raise GraphInvalid(
            f"the graph cannot be brought from opset {found} to {wanted}: {one_line(error)}"
        ) from error
    # The converter forgets what is not the graph's.
    made.ir_version = model.ir_version
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    return made

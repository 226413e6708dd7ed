"""The first look at a file of others: cheap, in Python, and before anything is done with it.

Refuses what no honest network has and what would cost too much to look at further. It
runs nothing and follows no reference out of the file.
"""

import onnx
from google.protobuf.message import DecodeError

from icecore.server.backbones.admission.limits import USUAL, AdmissionLimits
from icecore.server.backbones.admission.vetting.functions import vet_functions
from icecore.server.backbones.admission.vetting.names import vet_names
from icecore.server.backbones.admission.vetting.order import vet_order
from icecore.server.backbones.admission.vetting.pieces import count_pieces
from icecore.server.backbones.admission.vetting.sizes import vet_sizes
from icecore.server.backbones.admission.vetting.tensors import vet_tensors
from icecore.server.errors import GraphInvalid, GraphTooLarge


def vet(data: bytes, limits: AdmissionLimits = USUAL) -> onnx.ModelProto:
    """Return the model of a file that deserves a further look.

    Raises:
        GraphInvalid: no ONNX file, or one that no honest exporter writes.
        GraphTooLarge: more bytes, nodes, constants or outputs than allowed.
        GraphTooCostly: a run would make tensors or take steps beyond what is allowed.
    """
    vet_length(len(data), limits)
    count_pieces(data, limits)
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise GraphInvalid(f"the file's {len(data):,} bytes are not an ONNX file") from error
    vet_names(model, limits)
    domains = [imported.domain for imported in model.opset_import]
    if len(set(domains)) < len(domains):
        raise GraphInvalid("the file names two versions of the same operators")
    vet_functions(model, limits)
    vet_order(model.graph, limits)
    vet_tensors(model, limits)
    vet_sizes(model, limits)
    return model


def vet_length(n_bytes: int, limits: AdmissionLimits) -> None:
    """Raise for an empty file and for one of more bytes than allowed.

    Raises:
        GraphInvalid, GraphTooLarge
    """
    if n_bytes == 0:
        raise GraphInvalid("the file is empty")
    if n_bytes > limits.max_file_bytes:
        raise GraphTooLarge(
            f"the file has {n_bytes:,} bytes, but {limits.max_file_bytes:,} are the most"
        )

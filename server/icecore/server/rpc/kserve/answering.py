"""Codes and predictions to an answer: always raw values, or written into shared memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from icecore.kserve import open_inference as pb
from icecore.server.embedding.embedder import Timings
from icecore.server.rpc.kserve import tensors
from icecore.server.rpc.kserve.asking import (
    FINAL,
    LABEL,
    REGION,
    REGION_OFFSET,
    REGION_SIZE,
    SCORES,
    Output,
)
from icecore.server.rpc.kserve.regions import Stretch
from icecore.server.training.predictor import Predicted

SMALL_BYTES: Final = 1 << 20
"""What is copied on the event loop; more is copied in a thread."""

Values = npt.NDArray[Any] | Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Values of the outputs, in their order; texts where they are labels."""

    version: int
    outputs: Sequence[Output]
    values: Sequence[Values]
    timings: Timings

    @property
    def nbytes(self) -> int:
        """Of the arrays."""
        return sum(one.nbytes for one in self.values if isinstance(one, np.ndarray))


def predicted(found: Predicted, output: str) -> Values:
    """Return the labels (n), the scores (n, k), or the labels' probabilities (n).

    An SVM that is not calibrated has no probabilities: they are NaN.
    """
    said = found.predictions
    if output == LABEL:
        return said.labels
    if output == SCORES:
        return said.scores
    return np.full(len(said.labels), nan) if said.probability is None else said.probability


def answer_to_message(
    request: pb.ModelInferRequest, answer: Answer, parts: Sequence[Stretch | None]
) -> pb.ModelInferResponse:
    """Return the message; outputs that have a part are written there instead.

    Raises:
        RegionInvalid: an output does not fit.
    """
    response = pb.ModelInferResponse(
        model_name=request.model_name, model_version=str(answer.version), id=request.id
    )
    spent = answer.timings
    for name in ("queue_ms", "decode_ms", "compute_ms", "total_ms"):
        response.parameters[name].double_param = getattr(spent, name)
    response.parameters["n_cached"].int64_param = spent.n_cached
    if request.parameters[FINAL].bool_param if FINAL in request.parameters else False:
        response.parameters["triton_final_response"].bool_param = True
    for asked, values, part in zip(answer.outputs, answer.values, parts, strict=True):
        output = response.outputs.add(name=asked.name)
        raw = _fill(output, values)
        if asked.tap is not None:
            output.parameters["layer"].string_param = asked.tap.layer
            output.parameters["digest"].string_param = asked.tap.digest
        if part is not None and asked.place is not None:
            part.write(raw)
            output.parameters[REGION].string_param = asked.place.region
            output.parameters[REGION_OFFSET].int64_param = asked.place.offset
            output.parameters[REGION_SIZE].int64_param = len(raw)
            raw = b""
        response.raw_output_contents.append(raw)
    return response


def _fill(output: pb.ModelInferResponse.InferOutputTensor, values: Values) -> bytes:
    """Write datatype and shape, and return the raw values."""
    if not isinstance(values, np.ndarray):
        output.datatype = "BYTES"
        output.shape.append(len(values))
        return tensors.raw_texts(values)
    output.datatype = tensors.datatype_of(values)
    output.shape.extend(values.shape)
    return tensors.raw_of(values)

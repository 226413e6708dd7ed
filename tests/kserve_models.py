"""The inference protocol in tests: raw calls of it, and a server that has probes.

toy          the toy backbone
probe.p      softmax on layer three, dark against bright pixels, promoted
probe.svm    the same as an SVM
probe.none   trained, and not promoted
"""

from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from callers import Caller
from icecore.kserve import open_inference as pb
from icecore.kserve.descriptors import SERVICE
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import probe_pb2 as ppb
from icecore.v1 import tenant_pb2 as tpb
from icecore.wire.messages import image_to_message

N = 24
"""Labelled images: even numbers are dark and of class a, odd ones bright, b."""


class Inference:
    """The protocol's methods over a channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        for method in SERVICE.methods:
            make: Any = channel.stream_stream if method.client_streaming else channel.unary_unary
            call = make(
                f"/{SERVICE.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=getattr(pb, method.output_type.name).FromString,
            )
            setattr(self, method.name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def infer(self, *args: Any, **fields: Any) -> Any:
        """Send what `request` makes."""
        return self.ModelInfer(request(*args, **fields), timeout=60)


def request(
    values: npt.NDArray[Any] | None = None,
    model: str = "toy",
    *,
    outputs: dict[str, dict[str, Any]] | tuple[str, ...] = (),
    parameters: dict[str, Any] | None = None,
    **fields: Any,
) -> pb.ModelInferRequest:
    """Return a request of raw FP32 or UINT8 values; outputs by name, with their parameters."""
    made = pb.ModelInferRequest(model_name=model, **fields)
    if values is not None:
        datatype = {"float32": "FP32", "uint8": "UINT8"}[values.dtype.name]
        made.inputs.add(name="image", datatype=datatype, shape=values.shape)
        made.raw_input_contents.append(values.tobytes())
    for name, value in (parameters or {}).items():
        made.parameters[name].CopyFrom(parameter(value))
    for name in outputs:
        output = made.outputs.add(name=name)
        for key, value in outputs[name].items() if isinstance(outputs, dict) else ():
            output.parameters[key].CopyFrom(parameter(value))
    return made


def parameter(value: bool | int | float | str) -> pb.InferParameter:
    match value:
        case bool():
            return pb.InferParameter(bool_param=value)
        case int():
            return pb.InferParameter(int64_param=value)
        case float():
            return pb.InferParameter(double_param=value)
    return pb.InferParameter(string_param=value)


def values_of(response: pb.ModelInferResponse, place: int = 0) -> npt.NDArray[Any]:
    """Return an output's raw values."""
    output = response.outputs[place]
    dtype = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}[output.datatype]
    return np.frombuffer(response.raw_output_contents[place], dtype).reshape(tuple(output.shape))


def prepared(n: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """(n, 3, 8, 8): what comes after the toy's recipe."""
    return np.random.default_rng(seed).normal(0, 1, (n, 3, 8, 8)).astype(np.float32)


def labelled_pixels(number: int) -> npt.NDArray[np.uint8]:
    """(8, 8, 3): the image of a number."""
    low = 128 * (number % 2)
    random = np.random.default_rng(number)
    return random.integers(low, low + 128, (8, 8, 3), dtype=np.uint8)


def new_tenant(administrator: Caller, tenant_id: str) -> str:
    """Make a tenant and return a key of it."""
    administrator.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id=tenant_id))
    made = administrator.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id=tenant_id))
    return str(made.secret)


def train_probes(caller: Caller) -> None:
    """Make what the module tells."""
    caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="c"))
    batch = cpb.AddExamplesRequest(collection_id="c")
    for number in range(N):
        example = cpb.Example(example_id=f"{number:02}.png", label="ab"[number % 2])
        batch.examples.add(example=example, image=image_to_message(labelled_pixels(number)))
    list(caller.collections.AddExamples(iter([batch])))
    for probe_id, kind, is_left in (
        ("p", ppb.PROBE_KIND_SOFTMAX, False),
        ("svm", ppb.PROBE_KIND_SVM, False),
        ("none", ppb.PROBE_KIND_SOFTMAX, True),
    ):
        asked = ppb.TrainProbeRequest(
            probe_id=probe_id,
            collection_id="c",
            layers=["-1"],
            kind=kind,
            leave_unpromoted=is_left,
        )
        caller.probes.TrainProbe(asked)
        *_, last = caller.probes.WatchProbe(ppb.WatchProbeRequest(probe_id=probe_id))
        assert last.version.state == ppb.VERSION_STATE_READY, last.version.failure_message

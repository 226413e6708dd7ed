"""The Open Inference Protocol's ModelInfer, as far as the peers need it.

gRPC: its messages are described here, in a descriptor pool of their own. HTTP: JSON with
the tensors' bytes behind it (Triton's binary extension).
"""

import json
import struct
from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

INFER = "/inference.GRPCInferenceService/ModelInfer"

_STRING, _INT64 = 9, 3
_BYTES, _MESSAGE = 12, 11


def request(model: str, datatype: str, shape: Sequence[int], data: bytes) -> bytes:
    """Return a request with one input, "image", as raw contents."""
    message = _Request(model_name=model, raw_input_contents=[data])
    message.inputs.add(name="image", datatype=datatype, shape=list(shape))
    return bytes(message.SerializeToString())


def raw_output(answer: bytes) -> bytes:
    """Return the first output's contents."""
    message = _Response.FromString(answer)
    if message.raw_output_contents:
        return bytes(message.raw_output_contents[0])
    return bytes(message.outputs[0].contents.bytes_contents[0])


def http_head(datatype: str, shape: Sequence[int], n_bytes: int) -> bytes:
    """Return what comes before an input's bytes in a request over HTTP."""
    image = {
        "name": "image",
        "shape": list(shape),
        "datatype": datatype,
        "parameters": {"binary_data_size": n_bytes},
    }
    codes = {"name": "codes", "parameters": {"binary_data": True}}
    return json.dumps({"inputs": [image], "outputs": [codes]}).encode()


def http_headers(head: bytes) -> tuple[tuple[str, str], ...]:
    return (
        ("Content-Type", "application/octet-stream"),
        ("Inference-Header-Content-Length", str(len(head))),
    )


def http_output(answer: bytes) -> bytes:
    """Return the only output's contents."""
    _, end = json.JSONDecoder().raw_decode(answer.decode("latin-1"))
    return answer[end:]


def element(data: bytes) -> bytes:
    """Return raw contents of BYTES with one element."""
    return struct.pack("<I", len(data)) + data


def first_element(contents: bytes) -> bytes:
    (size,) = struct.unpack_from("<I", contents)
    return contents[4 : 4 + size]


def _classes() -> tuple[Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="peers.proto", package="inference", syntax="proto3"
    )

    def message(parent: Any, name: str, *fields: tuple[str, int, int, bool, str]) -> Any:
        made = parent.add(name=name)
        for field, number, kind, is_repeated, type_name in fields:
            made.field.add(
                name=field,
                number=number,
                type=kind,
                label=3 if is_repeated else 1,
                type_name=type_name or None,
            )
        return made

    tensor = (
        ("name", 1, _STRING, False, ""),
        ("datatype", 2, _STRING, False, ""),
        ("shape", 3, _INT64, True, ""),
    )
    message(file.message_type, "Contents", ("bytes_contents", 8, _BYTES, True, ""))
    contents = ("contents", 5, _MESSAGE, False, ".inference.Contents")
    message(file.message_type, "Tensor", *tensor, contents)
    message(
        file.message_type,
        "Request",
        ("model_name", 1, _STRING, False, ""),
        ("inputs", 5, _MESSAGE, True, ".inference.Tensor"),
        ("raw_input_contents", 7, _BYTES, True, ""),
    )
    message(
        file.message_type,
        "Response",
        ("outputs", 5, _MESSAGE, True, ".inference.Tensor"),
        ("raw_output_contents", 6, _BYTES, True, ""),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = [pool.FindMessageTypeByName(f"inference.{name}") for name in ("Request", "Response")]
    return tuple(message_factory.GetMessageClass(one) for one in found)  # type: ignore[return-value]


_Request, _Response = _classes()

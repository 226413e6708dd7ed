"""Calls of NVIDIA's tritonclient, in the environment that has it and nothing of ours.

    .venv/tritonclient/bin/python tritonclient_calls.py HOST:PORT IN.npz OUT.json OUT.npz

IN.npz has `tensors` (n, 3, 8, 8) float32, `pixels` (n, 8, 8, 3) uint8 and `files`, the
bytes of n JPEG files one behind the other, `lengths` of them. What was answered goes
into the two others: texts and arrays by the name of the call.
"""

import asyncio
import json
import os
import queue
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException, shared_memory

Array = np.ndarray[Any, np.dtype[Any]]


class Calls:
    """What is sent, and what was answered."""

    def __init__(self, address: str, given: Any) -> None:
        self.address = address
        self.tensors: Array = given["tensors"]
        self.pixels: Array = given["pixels"]
        ends = np.cumsum(given["lengths"])
        self.files = [bytes(one) for one in np.split(given["files"], ends[:-1])]
        self.texts: dict[str, Any] = {}
        self.arrays: dict[str, Array] = {}

    def client(self) -> Any:
        return triton.InferenceServerClient(self.address)

    def keep(self, name: str, result: Any, *outputs: str) -> None:
        for output in outputs or ("codes",):
            array = result.as_numpy(output)
            if array.dtype == np.object_:
                array = np.array([text.decode() for text in array.reshape(-1)])
            self.arrays[f"{name}/{output}"] = array
        response = result.get_response()
        self.texts[name] = {
            "model": response.model_name,
            "version": response.model_version,
            "id": response.id,
            "is_raw": len(response.raw_output_contents) == len(response.outputs)
            and not any(output.HasField("contents") for output in response.outputs),
            "parameters": sorted(response.parameters),
        }


def tensor(values: Array, datatype: str, module: Any = triton) -> Any:
    given = module.InferInput("image", list(values.shape), datatype)
    given.set_data_from_numpy(values)
    return given


def wanted(*names: str) -> list[Any]:
    return [triton.InferRequestedOutput(name) for name in names]


def described(calls: Calls) -> None:
    with calls.client() as client:
        calls.texts["live"] = client.is_server_live()
        calls.texts["ready"] = client.is_server_ready()
        for name in ("toy", "probe.p", "probe.svm", "probe.none", "absent"):
            calls.texts[f"ready/{name}"] = client.is_model_ready(name)
        calls.texts["ready/toy/2"] = client.is_model_ready("toy", "2")
        calls.texts["server"] = client.get_server_metadata(as_json=True)
        calls.texts["index"] = client.get_model_repository_index(as_json=True)
        for name in ("toy", "probe.p"):
            calls.texts[f"metadata/{name}"] = client.get_model_metadata(name, as_json=True)
            calls.texts[f"config/{name}"] = client.get_model_config(name, as_json=True)


def inferred(calls: Calls) -> None:
    with calls.client() as client:
        prepared = [tensor(calls.tensors, "FP32")]
        calls.keep("plain", client.infer("toy", prepared, request_id="mine"))
        names = ("1", "one", "-1", "name:two", "branch")
        calls.keep("layers", client.infer("toy", prepared, outputs=wanted(*names)), *names)
        calls.keep(
            "core", client.infer("toy", prepared, outputs=wanted("*")), "one", "two", "three"
        )
        for name, parameters in {
            "map": {"layer": "two", "pooling": "none"},
            "max": {"layer": 2, "pooling": "max"},
            "gem": {"pooling": "gem", "gem_p": 2.0},
            "before": {"layer": "1", "pooling": "none", "activation": "none"},
            "half": {"dtype": "FP16"},
        }.items():
            calls.keep(name, client.infer("toy", prepared, parameters=parameters))
        pixels = calls.pixels
        calls.keep("pixels", client.infer("toy", [tensor(pixels, "UINT8")]))
        turned = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        calls.keep("turned", client.infer("toy", [tensor(turned, "UINT8")]))
        files = np.array(calls.files, np.object_)
        calls.keep("files", client.infer("toy", [tensor(files, "BYTES")]))
        calls.keep("column", client.infer("toy", [tensor(files[:, None], "BYTES")]))
        calls.keep("urgent", client.infer("toy", prepared, priority=1, timeout=60_000_000))
        said = ("label", "scores", "probability")
        for name in ("probe.p", "probe.svm"):
            calls.keep(name, client.infer(name, [tensor(pixels, "UINT8")]), *said)
        one = client.infer("probe.p", [tensor(files, "BYTES")], "1", outputs=wanted("label"))
        calls.keep("probe.p/files", one, "label")


def refused(calls: Calls) -> None:
    bad = {
        "model": ("absent", "", tensor(calls.tensors, "FP32"), None),
        "version": ("toy", "2", tensor(calls.tensors, "FP32"), None),
        "layer": ("toy", "", tensor(calls.tensors, "FP32"), wanted("four")),
        "size": ("toy", "", tensor(calls.tensors[:, :, :4], "FP32"), None),
        "datatype": ("toy", "", tensor(calls.tensors.astype("f8"), "FP64"), None),
        "unpromoted": ("probe.none", "", tensor(calls.tensors, "FP32"), None),
    }
    with calls.client() as client:
        for name, (model, version, given, outputs) in bad.items():
            try:
                client.infer(model, [given], version, outputs=outputs)
            except InferenceServerException as error:
                calls.texts[f"refused/{name}"] = [error.status(), error.message()]


def streamed(calls: Calls) -> None:
    """Each image by itself in one stream, with a bad request between."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with calls.client() as client:
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        for number, one in enumerate(calls.tensors):
            client.async_stream_infer("toy", [tensor(one[None], "FP32")], request_id=str(number))
        client.async_stream_infer("toy", [tensor(calls.tensors[:, :, :4], "FP32")])
        client.async_stream_infer(
            "toy", [tensor(calls.tensors, "FP32")], enable_empty_final_response=True
        )
        got = [answers.get(timeout=60) for _ in range(len(calls.tensors) + 2)]
        client.stop_stream()
    (result, error) = got.pop(-2)
    calls.texts["stream/error"] = [result is None, str(error)]
    calls.texts["stream/ids"] = [result.get_response().id for result, _ in got[:-1]]
    rows = [result.as_numpy("codes") for result, _ in got[:-1]]
    calls.arrays["stream/codes"] = np.concatenate(rows)
    calls.keep("stream/last", got[-1][0])


async def awaited(calls: Calls) -> None:
    async with triton_aio.InferenceServerClient(calls.address) as client:
        given = tensor(calls.tensors, "FP32", triton_aio)
        calls.texts["aio/ready"] = await client.is_model_ready("toy")
        calls.texts["aio/metadata"] = await client.get_model_metadata("toy", as_json=True)
        results = await asyncio.gather(*(client.infer("toy", [given]) for _ in range(4)))
        calls.keep("aio", results[-1])

        async def requests() -> AsyncIterator[dict[str, Any]]:
            for one in calls.tensors:
                row = tensor(one[None], "FP32", triton_aio)
                yield {"model_name": "toy", "inputs": [row], "parameters": {"layer": "one"}}

        rows = []
        async for result, error in client.stream_infer(requests()):
            assert error is None, error
            rows.append(result.as_numpy("codes"))
        calls.arrays["aio/stream/codes"] = np.concatenate(rows)


def shared(calls: Calls) -> None:
    """Tensors in, and codes out, through this machine's memory."""
    tensors, n_bytes = calls.tensors, 4 * 6 * len(calls.tensors)
    key = f"icecore-test-{os.getpid()}"
    source = shared_memory.create_shared_memory_region("source", f"{key}-in", tensors.nbytes + 64)
    sink = shared_memory.create_shared_memory_region("sink", f"{key}-out", 4096)
    try:
        with calls.client() as client:
            shared_memory.set_shared_memory_region(source, [tensors], offset=64)
            client.register_system_shared_memory("in", f"/{key}-in", tensors.nbytes, offset=64)
            client.register_system_shared_memory("out", f"{key}-out", 4096)
            status = client.get_system_shared_memory_status(as_json=True)
            calls.texts["shared/status"] = sorted(status["regions"])
            given = triton.InferInput("image", list(tensors.shape), "FP32")
            given.set_shared_memory("in", tensors.nbytes)
            codes = triton.InferRequestedOutput("codes")
            codes.set_shared_memory("out", n_bytes, offset=1024)
            outputs = [codes, triton.InferRequestedOutput("one")]
            result = client.infer("toy", [given], outputs=outputs)
            calls.keep("shared", result, "one")
            placed = result.get_output("codes")
            found = shared_memory.get_contents_as_numpy(
                sink, np.float32, list(placed.shape), offset=1024
            )
            calls.arrays["shared/codes"] = found.copy()
            calls.texts["shared/place"] = {
                name: parameter.string_param or parameter.int64_param
                for name, parameter in placed.parameters.items()
                if name.startswith("shared_memory")
            }
            client.unregister_system_shared_memory("in")
            try:
                client.infer("toy", [given])
            except InferenceServerException as error:
                calls.texts["shared/gone"] = [error.status(), error.message()]
            client.unregister_system_shared_memory()
            client.unregister_cuda_shared_memory()
            calls.texts["shared/left"] = client.get_system_shared_memory_status(as_json=True)
    finally:
        shared_memory.destroy_shared_memory_region(source)
        shared_memory.destroy_shared_memory_region(sink)


def counted(calls: Calls) -> None:
    with calls.client() as client:
        calls.texts["statistics"] = client.get_inference_statistics("toy", as_json=True)
        calls.texts["statistics/all"] = client.get_inference_statistics(as_json=True)


def main() -> None:
    address, source, texts, arrays = sys.argv[1:]
    with np.load(source) as given:
        calls = Calls(address, given)
    for step in (described, inferred, refused, streamed, shared, counted):
        step(calls)
    asyncio.run(awaited(calls))
    Path(texts).write_text(json.dumps(calls.texts))
    np.savez(arrays, **calls.arrays)  # type: ignore[arg-type] # names are ours


if __name__ == "__main__":
    main()

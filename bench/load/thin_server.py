"""The least that a gRPC server in Python can do: Embed of one float32 tensor, nothing around it.

A handler of gRPC's asyncio server gives each tensor to a pool of threads, which run one
session with a thread each. No keys, quotas, bounds, fairness, cache, metrics or log lines.

Usage: python bench/load/thin_server.py GRAPH THREADS
Prints the address it listens on, and serves until it is killed.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icecore.v1 import codes_pb2
from load.processes import Tree, tree

START_S = 60.0


class Thin:
    def __init__(self, session: ort.InferenceSession, threads: int) -> None:
        self._session = session
        (self._input,) = session.get_inputs()
        self._pool = ThreadPoolExecutor(threads)

    async def embed(self, request: Any, _context: Any) -> Any:
        loop = asyncio.get_running_loop()
        codes = await loop.run_in_executor(self._pool, self._run, request)
        answer = codes_pb2.EmbedResponse()
        answer.codes.add(data=codes.tobytes(), shape=codes.shape)
        return answer

    def _run(self, request: Any) -> Any:
        tensor = request.images[0].tensor
        array = np.frombuffer(tensor.data, "<f4").reshape((1, *tensor.shape))
        return self._session.run(None, {self._input.name: array})[0]


@contextmanager
def thin_server(
    folder: Path, graph: Path, threads: int, *, cores: Sequence[int] | None = None
) -> Iterator[tuple[Tree, str]]:
    """Start one, on some cores; its process and its address."""
    log = folder / "thin.log"
    with tree([sys.executable, __file__, str(graph), str(threads)], log, cores=cores) as started:
        for _ in range(int(START_S / 0.05)):
            started.check()
            if (told := log.read_text()).endswith("\n"):
                yield started, told.split()[-1]
                return
            time.sleep(0.05)
        raise RuntimeError("the thin server did not start")


async def _serve(graph: str, threads: int) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    embed = grpc.unary_unary_rpc_method_handler(
        Thin(session, threads).embed,
        request_deserializer=codes_pb2.EmbedRequest.FromString,
        response_serializer=codes_pb2.EmbedResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("icecore.v1.CodesService", {"Embed": embed})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))

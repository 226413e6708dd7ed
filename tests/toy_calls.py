"""A served collection of toy images and a probe over it, and calls about such."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from callers import Caller, calling
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import common_pb2
from icecore.v1 import probe_pb2 as ppb
from icecore.wire.messages import image_to_message
from servers import serving

N = 24
"""Examples of the collection `c`: even numbers are dark and of class a, odd ones bright, b."""


@contextmanager
def filled(folder: Path) -> Iterator[Caller]:
    """Serve a new data folder with the collection `c` and the probe `p`, and give a caller."""
    with serving(folder) as server, calling(server.address) as caller:
        collect(caller, "c", *range(N))
        train(caller, "p")
        yield caller


def toy_image(number: int) -> common_pb2.Image:
    low = 128 * (number % 2)
    random = np.random.default_rng(number)
    return image_to_message(random.integers(low, low + 128, (8, 8, 3), dtype=np.uint8))


def toy_batch(collection_id: str, *numbers: int, **fields: Any) -> cpb.AddExamplesRequest:
    request = cpb.AddExamplesRequest(collection_id=collection_id, **fields)
    for number in numbers:
        example = cpb.Example(example_id=f"{number:02}.png", label="ab"[number % 2])
        example.metadata.update({"number": number, "odd": bool(number % 2), "name": f"n{number}"})
        request.examples.add(example=example, image=toy_image(number))
    return request


def add(caller: Caller, *batches: cpb.AddExamplesRequest) -> list[cpb.AddExamplesResponse]:
    return list(caller.collections.AddExamples(iter(batches)))


def collect(caller: Caller, collection_id: str, *numbers: int, **fields: Any) -> None:
    """Make a collection with the examples of these numbers."""
    caller.collections.CreateCollection(
        cpb.CreateCollectionRequest(collection_id=collection_id, **fields)
    )
    if numbers:
        add(caller, toy_batch(collection_id, *numbers))


def train(caller: Caller, probe_id: str, **fields: Any) -> ppb.ProbeVersion:
    """Train a version, on the last layer of `c` unless told, and return it when it is READY."""
    fields = {"collection_id": "c", "layers": ["-1"], **fields}
    caller.probes.TrainProbe(ppb.TrainProbeRequest(probe_id=probe_id, **fields))
    *_, last = caller.probes.WatchProbe(ppb.WatchProbeRequest(probe_id=probe_id))
    assert last.version.state == ppb.VERSION_STATE_READY, last.version.failure_message
    assert (last.stage, last.progress) == ("done", 1.0)
    version: ppb.ProbeVersion = last.version
    return version


def predict(caller: Caller, probe_id: str = "p", **fields: Any) -> ppb.PredictResponse:
    fields.setdefault("images", {"images": [toy_image(number) for number in range(4)]})
    answer = caller.probes.Predict(ppb.PredictRequest(probe_id=probe_id, **fields))
    assert isinstance(answer, ppb.PredictResponse)
    return answer


def version_of(caller: Caller, probe_id: str, number: int) -> ppb.ProbeVersion:
    probe = caller.probes.GetProbe(ppb.GetProbeRequest(probe_id=probe_id)).probe
    found: list[ppb.ProbeVersion] = [one for one in probe.versions if one.version == number]
    return found[0]

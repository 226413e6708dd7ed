"""Calls that change something, sent again under the same request id, over a real socket."""

from collections.abc import Iterator

import pytest

from callers import Caller, refusal
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import probe_pb2 as ppb
from toy_calls import add, filled, toy_batch


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    with filled(tmp_path_factory.mktemp("calls") / "data") as caller:
        yield caller


def test_what_was_done_once_is_not_done_again(caller: Caller) -> None:
    """Each mutation, sent twice under one id, gives its first answer."""
    c, p = caller.collections, caller.probes
    create = cpb.CreateCollectionRequest(collection_id="once", request_id="o1")
    assert c.CreateCollection(create) == c.CreateCollection(create)
    batch = toy_batch("once", *range(6), request_id="o2")
    assert add(caller, batch) == add(caller, batch)
    other = toy_batch("once", 7, request_id="o2")
    said = refusal(lambda: add(caller, other))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    train = ppb.TrainProbeRequest(
        probe_id="once", collection_id="once", layers=["-1"], request_id="o3"
    )
    first = p.TrainProbe(train).version
    assert p.TrainProbe(train).version.version == first.version == 1
    list(p.WatchProbe(ppb.WatchProbeRequest(probe_id="once", version=1)))
    assert p.TrainProbe(train).version.version == 1
    train.request_id = "o4"
    assert p.TrainProbe(train).version.version == 2
    list(p.WatchProbe(ppb.WatchProbeRequest(probe_id="once", version=2)))
    promote = ppb.PromoteVersionRequest(
        probe_id="once", version=1, expected_version=2, request_id="o5"
    )
    assert p.PromoteVersion(promote) == p.PromoteVersion(promote)
    for call, request in (
        (p.DeleteVersion, ppb.DeleteVersionRequest(probe_id="once", version=2, request_id="o6")),
        (
            c.DeleteExamples,
            cpb.DeleteExamplesRequest(
                collection_id="once", example_ids=["00.png"], request_id="o7"
            ),
        ),
        (p.DeleteProbe, ppb.DeleteProbeRequest(probe_id="once", request_id="o8")),
        (
            c.DeleteCollection,
            cpb.DeleteCollectionRequest(collection_id="once", request_id="o9"),
        ),
    ):
        assert call(request) == call(request), request

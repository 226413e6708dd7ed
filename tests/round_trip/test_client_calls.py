"""What both clients promise of calls, over a real socket to a server whose answers are written."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from driven import TWINS, opened
from fake_server import Answer, FakeServer, Refusal
from icecore.client import (
    Added,
    AsyncClient,
    Client,
    Codes,
    DeadlineExceeded,
    Internal,
    NewExample,
    NotFound,
    ProbeVersion,
    ResourceExhausted,
    TapId,
    Unavailable,
)
from icecore.client._batches import MAX_IN_FLIGHT
from icecore.client._channel import MAX_ATTEMPTS, RETRY_POLICY
from icecore.v1 import backbone_pb2, codes_pb2, collection_pb2, probe_pb2, tenant_pb2
from icecore.wire import messages

Twin = type[Client | AsyncClient]
both = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
FULL = grpc.StatusCode.RESOURCE_EXHAUSTED
TAP = TapId(digest="ab" * 32, layer="x")


class Failing:
    """An answer that is refused at some of its calls, counted from 1."""

    def __init__(
        self,
        answer: Callable[[Any], Any],
        at: set[int],
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
    ) -> None:
        self.answer, self.at, self.code, self.n_calls = answer, at, code, 0

    def __call__(self, request: Any) -> Any:
        self.n_calls += 1
        if self.n_calls in self.at:
            raise Refusal(self.code, "the server restarts", "SHUTTING_DOWN")
        return self.answer(request)


def added(request: collection_pb2.AddExamplesRequest) -> collection_pb2.AddExamplesResponse:
    return collection_pb2.AddExamplesResponse(
        request_id=request.request_id, n_added=len(request.examples)
    )


def codes(request: codes_pb2.EmbedRequest) -> codes_pb2.EmbedResponse:
    """Codes that are the first byte of each image."""
    values = np.array([[image.encoded[0]] for image in request.images], np.float32)
    return codes_pb2.EmbedResponse(codes=[messages.codes_to_message(Codes(values, TAP))])


def examples(n: int) -> Iterator[NewExample]:
    return (NewExample(f"{place}.jpg", bytes([place])) for place in range(n))


@both
def test_a_key_goes_with_every_call(twin: Twin, tmp_path: Path) -> None:
    answers: dict[str, Answer] = {
        "ListBackbones": lambda _: backbone_pb2.ListBackbonesResponse(),
        "AddExamples": added,
        "EmbedStream": codes,
        "WatchProbe": lambda _: [],
    }
    with (
        FakeServer(tmp_path, answers) as server,
        opened(twin, server.address, key="icecore_k") as client,
    ):
        client.backbones()
        client.add_examples("c", examples(1))
        list(client.embed_stream([b"x"]))
        list(client.watch_probe("p"))
        assert [name for name, _ in server.calls] == list(answers)
        assert {headers["authorization"] for _, headers in server.calls} == {"Bearer icecore_k"}


@both
def test_an_error_has_the_servers_reason(twin: Twin, tmp_path: Path) -> None:
    def refuse(_: Any) -> Any:
        raise Refusal(grpc.StatusCode.NOT_FOUND, "no such backbone", "BACKBONE_NOT_FOUND", n="1")

    answers = {"GetBackbone": refuse, "EmbedStream": refuse, "WatchProbe": refuse}
    with FakeServer(tmp_path, answers) as server, opened(twin, server.address) as client:
        for call in (
            lambda: client.backbone("x"),
            lambda: list(client.embed_stream([b"x"])),
            lambda: list(client.watch_probe("p")),
        ):
            with pytest.raises(NotFound, match=r"^no such backbone$") as refused:
                call()
            assert refused.value.reason == "BACKBONE_NOT_FOUND"
            assert refused.value.details == {"n": "1"}
        assert len(server.requests) == 3, "errors that a repetition cannot mend are not repeated"


@both
def test_a_call_is_repeated_under_the_same_id_while_the_server_is_away(
    twin: Twin, tmp_path: Path
) -> None:
    create = Failing(lambda _: tenant_pb2.CreateTenantResponse(), {1, 2})
    with (
        FakeServer(tmp_path, {"CreateTenant": create}) as server,
        opened(twin, server.address) as client,
    ):
        client.create_tenant("t")
        assert create.n_calls == 3
        assert len({request.request_id for request in server.requests}) == 1  # type: ignore[attr-defined]


@both
def test_a_call_is_given_up_in_the_end(twin: Twin, tmp_path: Path) -> None:
    gone = Failing(added, set(range(100)))
    answers = {"ListBackbones": gone}
    with FakeServer(tmp_path, answers) as server, opened(twin, server.address) as client:
        with pytest.raises(Unavailable, match=r"^the server restarts$"):
            client.backbones()
        assert gone.n_calls == MAX_ATTEMPTS


@both
def test_a_server_that_has_answered_is_waited_for_when_it_restarts(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than gRPC itself tries, which is two attempts here."""
    monkeypatch.setitem(RETRY_POLICY, "maxAttempts", 2)
    away = Failing(lambda _: backbone_pb2.ListBackbonesResponse(), {2, 3, 4, 5, 6})
    answers = {"ListBackbones": away}
    with FakeServer(tmp_path, answers) as server, opened(twin, server.address) as client:
        client.backbones()
        assert client.backbones() == []
    assert away.n_calls == 7


@both
def test_a_call_refused_for_now_is_sent_again_when_the_server_says(
    twin: Twin, tmp_path: Path
) -> None:
    told = [0.2, 0.1]

    def full(_: object) -> backbone_pb2.ListBackbonesResponse:
        if told:
            raise Refusal(FULL, "full", "OVERLOADED", retry_after_s=told.pop(0))
        return backbone_pb2.ListBackbonesResponse()

    answers = {"ListBackbones": full}
    with FakeServer(tmp_path, answers) as server, opened(twin, server.address) as client:
        began = time.monotonic()
        assert client.backbones() == []
        assert time.monotonic() - began >= 0.3, "it came before it was told to"


@both
@pytest.mark.parametrize("retry_after_s", [None, 1e6])
def test_a_call_that_may_not_be_sent_again_in_time_is_not(
    twin: Twin, tmp_path: Path, retry_after_s: float | None
) -> None:
    n_calls = 0

    def full(_: object) -> None:
        nonlocal n_calls
        n_calls += 1
        raise Refusal(FULL, "full", "STORAGE_FULL", retry_after_s=retry_after_s)

    answers = {"ListBackbones": full}
    with FakeServer(tmp_path, answers) as server, opened(twin, server.address) as client:
        with pytest.raises(ResourceExhausted, match="full"):
            client.backbones()
        assert n_calls == 1


@both
def test_a_key_is_never_made_twice(twin: Twin, tmp_path: Path) -> None:
    create = Failing(lambda _: tenant_pb2.CreateKeyResponse(), {1})
    with (
        FakeServer(tmp_path, {"CreateKey": create}) as server,
        opened(twin, server.address) as client,
    ):
        with pytest.raises(Unavailable):
            client.create_key("t")
        assert create.n_calls == 1


@both
def test_a_call_ends_at_its_deadline(twin: Twin, tmp_path: Path) -> None:
    over = threading.Event()
    with FakeServer(tmp_path, {"ListBackbones": lambda _: over.wait()}) as server:
        sentence = r"ListBackbones at .* got no answer in time"
        with (
            opened(twin, server.address, timeout_s=0.2) as client,
            pytest.raises(DeadlineExceeded, match=sentence),
        ):
            client.backbones()
        with opened(twin, server.address) as client, pytest.raises(DeadlineExceeded):
            client.backbones(timeout_s=0.2)
        over.set()


@both
def test_a_stream_ends_at_its_deadline(twin: Twin, tmp_path: Path) -> None:
    over = threading.Event()
    with FakeServer(tmp_path, {"AddExamples": lambda _: over.wait()}) as server:
        with opened(twin, server.address) as client, pytest.raises(DeadlineExceeded):
            client.add_examples("c", examples(9), batch_size=1, timeout_s=0.2)
        over.set()


@both
def test_nothing_answers_where_there_is_no_server(twin: Twin, tmp_path: Path) -> None:
    with (
        opened(twin, f"unix:{tmp_path}/absent.sock") as client,
        pytest.raises(Unavailable, match=r"no server answers at 'unix:.*absent.sock'"),
    ):
        client.create_key("t")  # of all calls the one that is not repeated


@both
def test_streams_answer_in_order_and_whole(twin: Twin, tmp_path: Path) -> None:
    images = [bytes([place]) for place in range(50)]
    with (
        FakeServer(tmp_path, {"EmbedStream": codes}) as server,
        opened(twin, server.address) as client,
    ):
        batches = [batch for [batch] in client.embed_stream(images, batch_size=7)]
        assert [len(batch) for batch in batches] == [7] * 7 + [1]
        assert Codes.concatenate(batches).values[:, 0].tolist() == list(range(50))
        assert list(client.embed_stream([])) == []
        assert server.n_finished == 1, "the stream is let end, not cancelled"


@both
def test_a_stream_reads_no_further_ahead_than_it_says(twin: Twin, tmp_path: Path) -> None:
    """Of a million images nobody reads all before the first has codes."""
    taken = 0

    def images() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x"

    with (
        FakeServer(tmp_path, {"EmbedStream": codes}) as server,
        opened(twin, server.address) as client,
    ):
        stream = client.embed_stream(images(), batch_size=1)
        for n_answers in range(1, 20):
            next(stream)
            assert taken <= n_answers + MAX_IN_FLIGHT
        stream.close()  # type: ignore[attr-defined]


@both
def test_after_a_break_what_has_no_answer_is_sent_again_under_its_id(
    twin: Twin, tmp_path: Path
) -> None:
    add = Failing(added, {3, 7, 8})
    with (
        FakeServer(tmp_path, {"AddExamples": add}) as server,
        opened(twin, server.address) as client,
    ):
        told: list[Added] = []
        total = client.add_examples("c", examples(10), batch_size=1, on_batch=told.append)
        assert (total, told) == (Added(10), [Added(1)] * 10)
        ids: dict[str, set[str]] = {}
        for request in server.requests_of(collection_pb2.AddExamplesRequest):
            ids.setdefault(request.examples[0].example.example_id, set()).add(request.request_id)
        assert len(ids) == 10
        assert all(len(of_one) == 1 for of_one in ids.values()), "one batch, one id"


@both
def test_batches_before_an_error_are_told(twin: Twin, tmp_path: Path) -> None:
    add = Failing(added, {3}, grpc.StatusCode.ALREADY_EXISTS)
    with (
        FakeServer(tmp_path, {"AddExamples": add}) as server,
        opened(twin, server.address) as client,
    ):
        told: list[Added] = []
        with pytest.raises(Exception, match="restarts"):
            client.add_examples("c", examples(10), batch_size=1, on_batch=told.append)
        assert told == [Added(1)] * 2


@both
def test_what_the_callers_own_iterator_raises_comes_out_as_it_is(
    twin: Twin, tmp_path: Path
) -> None:
    def images() -> Iterator[Path | bytes]:
        yield b"x"
        yield tmp_path / "absent.jpg"

    with (
        FakeServer(tmp_path, {"EmbedStream": codes}) as server,
        opened(twin, server.address) as client,
    ):
        with pytest.raises(FileNotFoundError, match=r"absent\.jpg"):
            list(client.embed_stream(images(), batch_size=1))
        assert len(list(client.embed_stream([b"x"]))) == 1, "the client is as good as before"


@both
def test_a_server_that_ends_a_stream_early_is_not_believed(twin: Twin, tmp_path: Path) -> None:
    class Short(FakeServer):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.stream_stream_rpc_method_handler(lambda *_: iter(()))

    with (
        Short(tmp_path, {}) as server,
        opened(twin, server.address) as client,
        pytest.raises(Internal, match="ended with requests unanswered"),
    ):
        client.add_examples("c", examples(3), batch_size=1)


@both
def test_all_pages_are_read_and_each_when_it_is_needed(twin: Twin, tmp_path: Path) -> None:
    def page(request: collection_pb2.ListExamplesRequest) -> Any:
        start = int(request.page_token or 0)
        stop = min(start + request.page_size, 25)
        item = collection_pb2.ListExamplesResponse.Item
        return collection_pb2.ListExamplesResponse(
            examples=[
                item(example=collection_pb2.Example(example_id=f"{place:02}"))
                for place in range(start, stop)
            ],
            next_page_token=str(stop) if stop < 25 else "",
        )

    with (
        FakeServer(tmp_path, {"ListExamples": page}) as server,
        opened(twin, server.address) as client,
    ):
        listed = client.list_examples("c", filter='label = "ant"', page_size=10)
        assert next(listed).example_id == "00"
        assert len(server.requests) == 1
        assert [example.example_id for example in listed] == [f"{n:02}" for n in range(1, 25)]
        sent = server.requests_of(collection_pb2.ListExamplesRequest)
        assert [request.page_token for request in sent] == ["", "10", "20"]
        assert {request.filter for request in sent} == {'label = "ant"'}


def state(
    version: int, word: "probe_pb2.VersionState.ValueType", progress: float
) -> probe_pb2.WatchProbeResponse:
    return probe_pb2.WatchProbeResponse(
        version=probe_pb2.ProbeVersion(
            probe_id="p", version=version, state=word, kind=probe_pb2.PROBE_KIND_SVM
        ),
        stage="choosing",
        progress=progress,
    )


@both
def test_a_broken_watch_goes_on_with_the_version_it_was_about(twin: Twin, tmp_path: Path) -> None:
    """Asked for the newest, it does not jump to one that began meanwhile."""
    training, ready = probe_pb2.VERSION_STATE_TRAINING, probe_pb2.VERSION_STATE_READY

    def watch(request: probe_pb2.WatchProbeRequest) -> Iterator[probe_pb2.WatchProbeResponse]:
        if request.version == 0:
            yield state(4, training, 0.1)
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "restarts", "SHUTTING_DOWN")
        yield state(request.version, training, 0.5)
        yield state(request.version, ready, 1.0)

    with (
        FakeServer(tmp_path, {"WatchProbe": watch}) as server,
        opened(twin, server.address) as client,
    ):
        seen = [(told.version.version, told.progress) for told in client.watch_probe("p")]
        assert seen == [(4, 0.1), (4, 0.5), (4, 1.0)]
        sent = server.requests_of(probe_pb2.WatchProbeRequest)
        assert [request.version for request in sent] == [0, 4]


@both
def test_training_can_be_waited_for(twin: Twin, tmp_path: Path) -> None:
    training, ready = probe_pb2.VERSION_STATE_TRAINING, probe_pb2.VERSION_STATE_READY
    answers = {
        "TrainProbe": lambda _: probe_pb2.TrainProbeResponse(version=state(1, training, 0).version),
        "WatchProbe": lambda _: [state(1, training, 0.5), state(1, ready, 1.0)],
    }
    with FakeServer(tmp_path, answers) as server, opened(twin, server.address) as client:
        told: list[float] = []
        version = client.train_probe(
            "p", "c", wait=True, on_progress=lambda progress: told.append(progress.progress)
        )
        assert isinstance(version, ProbeVersion)
        assert (version.state, told) == ("ready", [0.5, 1.0])
        assert client.train_probe("p", "c").state == "training"


@both
def test_a_closed_client_says_so(twin: Twin, tmp_path: Path) -> None:
    with opened(twin, f"unix:{tmp_path}/x.sock") as client:
        client.close()
        with pytest.raises(RuntimeError, match="the client is closed"):
            client.backbones()
        client.close()


@both
def test_messages_above_grpcs_four_megabytes_pass(twin: Twin, tmp_path: Path) -> None:
    def big(request: codes_pb2.EmbedRequest) -> codes_pb2.EmbedResponse:
        values = np.zeros((1, 2_000_000), np.float32)
        return codes_pb2.EmbedResponse(codes=[messages.codes_to_message(Codes(values, TAP))])

    with FakeServer(tmp_path, {"Embed": big}) as server, opened(twin, server.address) as client:
        [answer] = client.embed([b"x"])
        assert answer.dims == 2_000_000

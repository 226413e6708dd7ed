"""`embed_many` of both clients, over a real socket."""

import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from driven import TWINS, opened
from fake_server import FakeServer, Refusal
from icecore.client import (
    AsyncClient,
    Client,
    Codes,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    RefusedImage,
    TapId,
)
from icecore.server.backbones.as_stored import to_record
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.v1 import backbone_pb2, codes_pb2, common_pb2
from icecore.wire import messages
from servers import Server, ToyCatalog, serving
from toys import toy_graph

Twin = type[Client | AsyncClient]
both = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
TAP = TapId(digest="ab" * 32, layer="x")


def codes(request: codes_pb2.EmbedRequest) -> codes_pb2.EmbedResponse:
    """Codes that are the number which each image is."""
    values = np.array([[float(image.encoded[:8])] for image in request.images], np.float32)
    return codes_pb2.EmbedResponse(codes=[messages.codes_to_message(Codes(values, TAP))])


def images(n: int) -> Iterator[bytes]:
    return (b"%08d" % place for place in range(n))


class Forgetful(FakeServer):
    """Keeps nothing of what passes."""

    @property
    def requests(self) -> Any:
        return Nowhere()

    @requests.setter
    def requests(self, _: Any) -> None:
        pass


class Nowhere:
    def append(self, _: Any) -> None:
        pass


@both
@pytest.mark.parametrize("in_order", [True, False])
def test_every_image_has_its_codes_at_its_place(twin: Twin, tmp_path: Path, in_order: bool) -> None:
    with (
        FakeServer(tmp_path, {"Embed": codes}) as server,
        opened(twin, server.address) as client,
    ):
        batches = list(client.embed_many(images(100), batch_size=7, in_order=in_order))
        found = [
            (index, row[0])
            for batch in batches
            for index, row in zip(batch.indices, batch.codes[0], strict=True)
        ]
        assert sorted(found) == [(place, float(place)) for place in range(100)]
        assert not in_order or found == sorted(found)
        assert {len(batch) for batch in batches} == {7, 2}
        assert all(
            request.priority == common_pb2.PRIORITY_BULK
            for request in server.requests_of(codes_pb2.EmbedRequest)
        )
        assert list(client.embed_many([])) == []


@both
def test_batches_are_given_as_they_are_done(twin: Twin, tmp_path: Path) -> None:
    """The first waits until all others were given."""
    others_are_here = threading.Event()

    def answer(request: codes_pb2.EmbedRequest) -> codes_pb2.EmbedResponse:
        if request.images[0].encoded == b"%08d" % 0:
            assert others_are_here.wait(60)
        return codes(request)

    with (
        FakeServer(tmp_path, {"Embed": answer}) as server,
        opened(twin, server.address) as client,
    ):
        seen: list[int] = []
        for batch in client.embed_many(images(9), batch_size=1, in_order=False, in_flight=3):
            seen += batch.indices
            if len(seen) == 8:
                others_are_here.set()
        assert seen[-1] == 0
        assert sorted(seen) == list(range(9))


@both
@pytest.mark.parametrize("in_order", [True, False])
def test_no_more_is_read_than_fits_ahead(twin: Twin, tmp_path: Path, in_order: bool) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"%08d" % taken

    with (
        FakeServer(tmp_path, {"Embed": codes}) as server,
        opened(twin, server.address) as client,
    ):
        stream = client.embed_many(endless(), batch_size=5, in_flight=3, in_order=in_order)
        for n_answers in range(1, 30):
            next(stream)
            assert taken <= 5 * (n_answers + 3)
        stream.close()  # type: ignore[attr-defined]


@both
def test_memory_is_that_of_what_is_in_flight(twin: Twin, tmp_path: Path) -> None:
    """40 MB of images pass through a few of them; server and client are both counted."""
    with Forgetful(tmp_path, {"Embed": codes}) as server, opened(twin, server.address) as client:
        image = b"00000000" + bytes(100_000)
        tracemalloc.start()
        try:
            n = sum(
                len(batch)
                for batch in client.embed_many(
                    (image + b"%d" % place for place in range(400)), batch_size=4, in_flight=2
                )
            )
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert n == 400
    assert peak < 15 << 20


@both
def test_one_bad_image_does_not_end_everything(twin: Twin, tmp_path: Path) -> None:
    def picky(request: codes_pb2.EmbedRequest) -> codes_pb2.EmbedResponse:
        for place, image in enumerate(request.images):
            if image.encoded == b"bad":
                raise Refusal(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"image {place} is empty, but must be JPEG, PNG or WebP",
                    "IMAGE_INVALID",
                    image=str(place),
                )
        return codes(request)

    absent = tmp_path / "absent.jpg"
    several: list[bytes | Path] = [b"00000000", b"bad", *images(5), absent, b"bad"]
    with FakeServer(tmp_path, {"Embed": picky}) as server, opened(twin, server.address) as client:
        told: list[RefusedImage] = []
        for on_error in ("skip", told.append):
            batches = list(client.embed_many(several, batch_size=4, on_error=on_error))
            assert [index for batch in batches for index in batch.indices] == [0, 2, 3, 4, 5, 6]
            refused = [one for batch in batches for one in batch.refused]
            assert [(one.index, one.path) for one in refused] == [(1, None), (7, absent), (8, None)]
            assert refused[0].message == "image 1 is empty, but must be JPEG, PNG or WebP"
        assert told == refused
        stream = client.embed_many([*images(5), b"bad"], batch_size=2)
        assert [*next(stream).indices, *next(stream).indices] == [0, 1, 2, 3]
        with pytest.raises(InvalidArgument, match=r"^image 5 is empty"):
            next(stream)


@both
def test_an_error_that_is_of_no_image_ends_it(twin: Twin, tmp_path: Path) -> None:
    def refuse(_: Any) -> Any:
        raise Refusal(grpc.StatusCode.NOT_FOUND, "no such backbone", "BACKBONE_NOT_FOUND")

    with FakeServer(tmp_path, {"Embed": refuse}) as server, opened(twin, server.address) as client:
        with pytest.raises(NotFound):
            list(client.embed_many(images(100), batch_size=1, on_error="skip"))
        assert len(server.requests) <= 5
        with pytest.raises(InvalidArgument, match="images are one 'bytes'"):
            client.embed_many(b"x")  # type: ignore[arg-type]


@both
def test_a_full_server_is_asked_again(twin: Twin, tmp_path: Path) -> None:
    n_calls = 0

    def full(request: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls % 3:
            raise Refusal(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "full", "OVERLOADED", retry_after_s=0.002
            )
        return codes(request)

    with FakeServer(tmp_path, {"Embed": full}) as server, opened(twin, server.address) as client:
        batches = list(client.embed_many(images(20), batch_size=2))
        assert [index for batch in batches for index in batch.indices] == list(range(20))


@both
def test_leaving_early_gives_up_the_calls_under_way(twin: Twin, tmp_path: Path) -> None:
    ended = [threading.Event() for _ in range(8)]
    begun, given_up = threading.Semaphore(0), threading.Semaphore(0)

    class Stuck(FakeServer):
        def service(self, handler_call_details: Any) -> Any:
            def one(request: bytes, context: grpc.ServicerContext) -> Any:
                [image] = codes_pb2.EmbedRequest.FromString(request).images
                place = int(image.encoded)
                if place == 0:
                    return codes(codes_pb2.EmbedRequest.FromString(request))
                context.add_callback(ended[place].set)
                begun.release()
                if ended[place].wait(20):
                    given_up.release()
                return codes_pb2.EmbedResponse()

            return grpc.unary_unary_rpc_method_handler(
                one, None, lambda answer: answer.SerializeToString()
            )

    with Stuck(tmp_path, {}) as server, opened(twin, server.address) as client:
        stream = client.embed_many(images(8), batch_size=1, in_flight=3)
        assert next(stream).indices == (0,)
        for _ in range(2):
            assert begun.acquire(timeout=60)
        stream.close()  # type: ignore[attr-defined]
        for _ in range(2):
            assert given_up.acquire(timeout=30), "the client holds on to its calls"


@both
def test_all_images_together_have_a_deadline(twin: Twin, tmp_path: Path) -> None:
    over = threading.Event()
    with FakeServer(tmp_path, {"Embed": lambda _: over.wait(60)}) as server:
        with opened(twin, server.address) as client, pytest.raises(DeadlineExceeded):
            list(client.embed_many(images(9), batch_size=1, timeout_s=0.2))
        over.set()


@both
def test_a_restart_in_the_middle_is_not_noticed(twin: Twin, tmp_path: Path) -> None:
    first = FakeServer(tmp_path, {"Embed": codes})
    with opened(twin, first.address) as client:
        stream = client.embed_many(images(60), batch_size=5, in_flight=2)
        seen = list(next(stream).indices)
        first.__exit__()

        def later() -> None:
            time.sleep(0.5)  # the outage itself
            started.append(FakeServer(tmp_path, {"Embed": codes}))

        started: list[FakeServer] = []
        back = threading.Thread(target=later)
        back.start()
        for batch in stream:
            seen += batch.indices
        back.join()
        started[0].__exit__()
    assert seen == list(range(60))


class CroppingCatalog(ToyCatalog):
    """Has the toy a second time, with a recipe that crops what it has resized."""

    def ensure_default(self) -> Backbone:
        recipe = Recipe(height=8, width=8, resize=12, mean=(0.5, 0.4, 0.3), channels="BGR")
        cropping = Backbone.read("cropping", toy_graph(), recipe, Card(source="here"))
        self._toy_store.put_backbone(to_record(cropping), cropping.graph)
        return super().ensure_default()


@pytest.fixture(scope="module")
def toy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("bulk") / "data", catalog=CroppingCatalog) as server:
        yield server


@both
def test_codes_are_those_of_embed(twin: Twin, toy_server: Server, tmp_path: Path) -> None:
    files = []
    for seed in range(11):
        pixels = np.random.default_rng(seed).integers(0, 256, (30, 20, 3), np.uint8)
        files.append(tmp_path / f"{seed}.png")
        Image.fromarray(pixels).save(files[-1])
    (tmp_path / "bad.png").write_bytes(files[0].read_bytes()[:-40])
    with opened(twin, toy_server.address) as client:
        for layers in (["-1"], ["1", "three"]):
            expected = client.embed(files, layers=layers)
            mixed = [*files[:4], tmp_path / "bad.png", *files[4:]]
            batches = list(client.embed_many(mixed, layers=layers, batch_size=3, on_error="skip"))
            [refused] = [one for batch in batches for one in batch.refused]
            assert refused.path == tmp_path / "bad.png"
            assert refused.reason == "IMAGE_TRUNCATED"
            assert refused.message.startswith(f"'{tmp_path / 'bad.png'}' is truncated: its ")
            for place, codes_of_layer in enumerate(expected):
                whole = Codes.concatenate([batch.codes[place] for batch in batches])
                assert whole.tap == codes_of_layer.tap
                assert np.allclose(whole.values, codes_of_layer.values, atol=1e-6)


@both
@pytest.mark.parametrize("backbone", ["toy", "cropping"])
def test_downscaled_images_have_the_same_codes_to_the_bit(
    twin: Twin, toy_server: Server, tmp_path: Path, backbone: str
) -> None:
    """Those of pixels of the network's own size are only normalised there."""
    files = []
    for seed in range(6):
        pixels = np.random.default_rng(seed).integers(0, 256, (40 + seed, 70, 3), np.uint8)
        files.append(tmp_path / f"{seed}.jpg")
        Image.fromarray(pixels).save(files[-1], quality=90)
    with opened(twin, toy_server.address) as client:
        [plain] = client.embed_many(files, backbone=backbone)
        [small] = client.embed_many(files, backbone=backbone, downscale=True)
        assert small.codes == plain.codes


@both
def test_downscaled_images_are_small(twin: Twin, tmp_path: Path) -> None:
    recipe = backbone_pb2.Recipe(
        height=8, width=8, resize=8, interpolation="bicubic", channels="RGB", mean=[0.5] * 3
    )
    digest = TAP.digest

    def answer(request: codes_pb2.EmbedRequest) -> codes_pb2.EmbedResponse:
        assert all(list(image.tensor.shape) == [8, 8, 3] for image in request.images)
        values = np.zeros((len(request.images), 1), np.float32)
        tap = TapId(digest=digest, layer="x")
        return codes_pb2.EmbedResponse(codes=[messages.codes_to_message(Codes(values, tap))])

    told = backbone_pb2.GetBackboneResponse(
        backbone=backbone_pb2.Backbone(name="b", digest=TAP.digest, recipe=recipe)
    )
    answers = {"GetBackbone": lambda _: told, "Embed": answer}
    large = [np.zeros((500, 300, 3), np.uint8)] * 100
    with FakeServer(tmp_path, answers) as server, opened(twin, server.address) as client:
        batches = list(client.embed_many(large, downscale=True, batch_size=50))
        assert [len(batch) for batch in batches] == [50, 50], "batches by what is sent"
        digest = "cd" * 32
        with pytest.raises(FailedPrecondition, match="was replaced"):
            list(client.embed_many(large, downscale=True))

"""Both clients send networks and photos to servers with written answers, and to a real one."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from driven import TWINS, opened
from fake_server import FakeServer, Refusal
from icecore.client import (
    AsyncClient,
    Card,
    Client,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    LabelledImage,
    NotFound,
    Quantising,
    Recipe,
    Unavailable,
)
from icecore.client._channel import MAX_ATTEMPTS
from icecore.client._operations.backbone_work import CHUNK_BYTES
from icecore.v1 import backbone_pb2 as pb
from networks import FOLDER, network
from servers import serving

Twin = type[Client | AsyncClient]
both = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
ADDED = pb.AddBackboneResponse(backbone=pb.Backbone(name="net", digest="ab" * 32, depths=3))
PIXELS = np.zeros((4, 4, 3), np.uint8)


class Server:
    """Collects the parts of each stream; refuses some of them."""

    def __init__(
        self,
        *,
        refused: Collection[int] = (),
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
    ) -> None:
        self.streams: list[list[pb.AddBackboneRequest]] = []
        self.n, self.refused, self.code = 0, refused, code

    def part(self, request: pb.AddBackboneRequest) -> None:
        self.n += 1
        if request.WhichOneof("part") == "header":
            self.streams.append([])
        self.streams[-1].append(request)
        if self.n in self.refused:
            raise Refusal(self.code, "no", "GRAPH_INVALID")


@contextmanager
def talking(
    twin: Twin, folder: Path, answers: Mapping[str, Any]
) -> Iterator[tuple[Client, FakeServer]]:
    with (
        FakeServer(folder, answers) as server,
        opened(twin, server.address) as client,
    ):
        yield client, server


@both
def test_a_network_arrives_whole_with_what_is_said_of_it(twin: Twin, tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(2 * CHUNK_BYTES + 17)
    file = tmp_path / "net.onnx"
    file.write_bytes(data)
    told: list[tuple[int, int]] = []
    parts = Server()
    with talking(
        twin, tmp_path, {"AddBackbone": parts.part, "AddBackbone/end": lambda: [ADDED]}
    ) as (client, _):
        added = client.add_backbone(
            "net",
            file,
            recipe=Recipe(8, 9, 10, channels="BGR", scale=1.0),
            card=Card(licence="MIT", accuracy="75 %"),
            on_bytes=lambda sent, whole: told.append((sent, whole)),
        )
        client.add_backbone("net", data, request_id="mine")
    assert (added.name, added.depths) == ("net", 3)
    first, second = parts.streams
    header = first[0].header
    assert (header.name, len(header.request_id)) == ("net", 32)
    assert (header.recipe.width, header.recipe.channels, header.recipe.scale) == (9, "BGR", 1.0)
    assert (header.card.licence, header.card.accuracy) == ("MIT", "75 %")
    assert not second[0].header.HasField("recipe")
    assert second[0].header.request_id == "mine"
    for stream in parts.streams:
        assert b"".join(part.chunk for part in stream[1:]) == data
        assert max(len(part.chunk) for part in stream) <= CHUNK_BYTES
    assert told[-1] == (len(data), len(data))
    assert told == sorted(told)


@both
def test_a_recipe_file_travels_as_it_is(twin: Twin, tmp_path: Path) -> None:
    recipe = tmp_path / "config.json"
    recipe.write_bytes(b'{"crop_pct": 1}')
    parts = Server()
    with talking(
        twin, tmp_path, {"AddBackbone": parts.part, "AddBackbone/end": lambda: [ADDED]}
    ) as (client, _):
        client.add_backbone("net", b"graph", recipe=recipe)
    header = parts.streams[0][0].header
    assert (header.recipe_file.name, header.recipe_file.content) == (
        "config.json",
        b'{"crop_pct": 1}',
    )
    assert not header.HasField("recipe")


@both
def test_a_broken_upload_begins_anew_under_the_same_id(twin: Twin, tmp_path: Path) -> None:
    parts = Server(refused={2, 5})
    data = b"x" * (3 * CHUNK_BYTES)
    with talking(
        twin, tmp_path, {"AddBackbone": parts.part, "AddBackbone/end": lambda: [ADDED]}
    ) as (client, _):
        assert client.add_backbone("net", data).name == "net"
    assert len(parts.streams) == 3
    assert len({stream[0].header.request_id for stream in parts.streams}) == 1
    assert b"".join(part.chunk for part in parts.streams[-1][1:]) == data


@both
def test_a_refusal_in_the_middle_is_told_and_not_repeated(twin: Twin, tmp_path: Path) -> None:
    parts = Server(refused={3}, code=grpc.StatusCode.INVALID_ARGUMENT)
    with (
        talking(
            twin, tmp_path, {"AddBackbone": parts.part, "AddBackbone/end": lambda: [ADDED]}
        ) as (client, _),
        pytest.raises(InvalidArgument, match="no") as caught,
    ):
        client.add_backbone("net", b"x" * (20 * CHUNK_BYTES))
    assert caught.value.reason == "GRAPH_INVALID"
    assert len(parts.streams) == 1


@both
def test_a_server_that_is_gone_is_given_up(twin: Twin, tmp_path: Path) -> None:
    parts = Server(refused=set(range(100)))
    with (
        talking(twin, tmp_path, {"AddBackbone": parts.part}) as (client, _),
        pytest.raises(Unavailable),
    ):
        client.add_backbone("net", b"x")
    assert len(parts.streams) == MAX_ATTEMPTS


@both
def test_a_file_that_cannot_be_read_ends_the_call_unfinished(twin: Twin, tmp_path: Path) -> None:
    answers = {"AddBackbone": Server().part, "CheckRecipe": lambda _: None}
    with talking(twin, tmp_path, answers) as (client, server):
        with pytest.raises(FileNotFoundError):
            client.add_backbone("net", tmp_path / "absent.onnx")
        with pytest.raises(InvalidArgument, match="is a 'int'"):
            client.check_recipe("net", [LabelledImage(5, "ant")])  # type: ignore[arg-type]
        with pytest.raises(FileNotFoundError, match=r"photo\.jpg"):
            client.check_recipe("net", [LabelledImage(str(tmp_path / "photo.jpg"), "ant")])
        assert server.n_finished == 0, "a stream cut short looked complete"


@both
def test_an_upload_without_an_answer_breaks_the_contract(twin: Twin, tmp_path: Path) -> None:
    with (
        talking(twin, tmp_path, {"AddBackbone": Server().part}) as (client, _),
        pytest.raises(Internal, match="none came"),
    ):
        client.add_backbone("net", b"x")


@both
def test_a_network_is_added_read_and_removed_on_a_real_server(twin: Twin, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with (
        serving(tmp_path / "data") as server,
        opened(twin, server.address, key=server.admin_key) as client,
    ):
        added = client.add_backbone(
            "vit",
            FOLDER / "vit.onnx",
            recipe=Recipe(32, 32, 40, mean=(0.1, 0.2, 0.3)),
            card=Card(licence="MIT"),
            on_bytes=lambda sent, whole: told.append((sent, whole)),
            request_id="once",
        )
        again = client.add_backbone(
            "vit",
            FOLDER / "vit.onnx",
            recipe=Recipe(32, 32, 40, mean=(0.1, 0.2, 0.3)),
            card=Card(licence="MIT"),
            request_id="once",
        )
        assert (again.digest, again.create_time) == (added.digest, added.create_time)
        assert client.backbone("vit") == added
        assert (added.recipe.resize, added.card.licence, added.depths) == (40, "MIT", 3)
        assert told[-1] == (len(network("vit")),) * 2
        assert [one.name for one in client.backbones()] == ["toy", "vit"]
        with pytest.raises(InvalidArgument, match="not an ONNX file"):
            client.add_backbone("vit", b"nothing")
        assert client.backbone("vit") == added
        client.remove_backbone("vit")
        with pytest.raises(NotFound, match="'vit'"):
            client.remove_backbone("vit")
        with pytest.raises(FailedPrecondition, match="default"):
            client.remove_backbone("toy")


def _report(suggested: int) -> pb.CheckRecipeResponse:
    recipe = pb.Recipe(height=8, width=8, resize=8)
    trials = [
        pb.RecipeTrial(recipe=recipe, accuracy=-1.0, confidence=-1.0, agreement=-1.0),
        pb.RecipeTrial(change="BGR", recipe=recipe, accuracy=0.25, confidence=0.5, agreement=0.75),
    ]
    return pb.CheckRecipeResponse(
        n_images=2, trials=trials, suggested=suggested, verdict="So.", progress=1.0
    )


@both
def test_a_recipe_report_says_what_is_not_known(twin: Twin, tmp_path: Path) -> None:
    sent: list[pb.CheckRecipeRequest] = []
    images = [LabelledImage(PIXELS, "ant"), LabelledImage(PIXELS, "bee", name="b.png")]
    told: list[float] = []
    half = pb.CheckRecipeResponse(progress=0.5)
    answers = {"CheckRecipe": sent.append, "CheckRecipe/end": lambda: [half, _report(1)]}
    with talking(twin, tmp_path, answers) as (client, server):
        report = client.check_recipe(
            "net", images, class_names=["ant", "bee"], on_progress=told.append
        )
        server.answers["CheckRecipe/end"] = lambda: [_report(0)]
        assert client.check_recipe("net", images).suggested is None
        server.answers["CheckRecipe/end"] = lambda: [_report(2)]
        with pytest.raises(Internal, match="of which 2 is suggested"):
            client.check_recipe("net", images)
        server.answers["CheckRecipe/end"] = lambda: [half]
        with pytest.raises(Internal, match="none came"):
            client.check_recipe("net", images)
    assert told == [0.5, 1.0]
    stored, other = report.trials
    assert (stored.accuracy, stored.confidence, stored.agreement) == (None, None, None)
    assert report.suggested == other
    assert (other.change, other.accuracy, report.verdict) == ("BGR", 0.25, "So.")
    assert (sent[0].header.backbone, list(sent[0].header.class_names)) == ("net", ["ant", "bee"])
    assert [part.image.label for part in sent[1:3]] == ["ant", "bee"]
    assert [part.image.name for part in sent[1:3]] == ["image 0", "b.png"]


@both
def test_quantising_is_followed_to_its_end(twin: Twin, tmp_path: Path) -> None:
    sent: list[pb.QuantiseBackboneRequest] = []
    said = [
        pb.QuantiseBackboneResponse(stage="calibrating", progress=0.25),
        pb.QuantiseBackboneResponse(stage="comparing", progress=0.5),
    ]
    fidelity = pb.Fidelity(
        n_calibration_images=2,
        throughput_ratio=2.5,
        layers=[pb.Fidelity.Layer(name="one", cosine=0.99)],
        probes=[pb.Fidelity.Probe(set="cells", difference_low=-0.01, difference_high=0.02)],
    )
    done = pb.QuantiseBackboneResponse(
        stage="done", progress=1.0, backbone=pb.Backbone(name="net-int8", fidelity=fidelity)
    )
    answers = {"QuantiseBackbone": sent.append, "QuantiseBackbone/end": lambda: [*said, done]}
    told: list[Quantising] = []
    with talking(twin, tmp_path, answers) as (client, server):
        made = client.quantise_backbone(
            "net",
            [PIXELS],
            evaluation=[LabelledImage(PIXELS, "ant", set="cells")],
            percentile=99.9,
            on_progress=told.append,
        )
        server.answers["QuantiseBackbone/end"] = lambda: said
        with pytest.raises(Internal, match="none came"):
            client.quantise_backbone("net", [PIXELS])
    assert [one.stage for one in told] == ["calibrating", "comparing", "done"]
    assert made.fidelity is not None
    assert (made.name, made.fidelity.throughput_ratio) == ("net-int8", 2.5)
    assert made.fidelity.layers[0].depth is None
    assert (made.fidelity.probes[0].low, made.fidelity.probes[0].high) == (-0.01, 0.02)
    parts = [part.WhichOneof("part") for part in sent[:3]]
    assert parts == ["header", "calibration", "evaluation"]
    assert (sent[0].header.percentile, sent[2].evaluation.set) == (99.9, "cells")

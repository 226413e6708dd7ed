"""Checking a recipe and quantising over the wire: what comes in, what goes out, who leaves."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from adding import add_backbone, add_toy, remove_backbone
from callers import Caller, Refusal, calling, pixels, refusal
from icecore.server.backbones.facts import Fidelity, LayerFidelity, ProbeFidelity
from icecore.server.rpc.photos import Budget
from icecore.server.training.quantising import Quantised
from icecore.v1 import backbone_pb2 as bpb
from icecore.v1 import common_pb2
from icecore.wire.messages import image_to_message
from networks import network
from servers import Server, serving
from toys import toy_graph

Check = bpb.CheckRecipeRequest
Quantise = bpb.QuantiseBackboneRequest
FIDELITY = Fidelity(
    n_calibration_images=8,
    throughput_ratio=2.5,
    has_vnni=True,
    layers=(LayerFidelity("one", 1, 0.999), LayerFidelity("sum", 0, 0.998)),
    probes=(ProbeFidelity("ants", "one", 200, 0.9, 0.89, -0.02, 0.01),),
)


CARD = bpb.Card(licence="MIT", accuracy="70 %")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("reports") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[Caller]:
    with calling(server.address, server.admin_key) as caller:
        yield caller


class StandIn:
    """Quantises in no time, or waits for ever, and says what it was given."""

    def __init__(self) -> None:
        self.waits = False
        self.given: list[tuple[Any, ...]] = []
        self.began, self.was_cancelled = threading.Event(), threading.Event()

    async def __call__(
        self,
        backbone: Any,
        calibration: Any,
        evaluation: Any,
        *,
        percentile: float,
        on_progress: Any,
    ) -> Quantised:
        self.given.append((backbone.name, calibration, evaluation, percentile))
        on_progress("calibrating", 0.25)
        on_progress("comparing", 0.75)
        self.began.set()
        if self.waits:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.was_cancelled.set()
                raise
        int8 = network("resnet18-int8") if backbone.name == "resnet18" else toy_graph(9)
        return Quantised(int8, FIDELITY)


@pytest.fixture
def stand_in(server: Server) -> Iterator[StandIn]:
    assert server.app is not None
    quantising: Any = server.app._parts.quantising
    really, quantising._quantise = quantising._quantise, StandIn()
    yield quantising._quantise
    quantising._quantise = really


def photo(seed: int, label: str = "", **fields: str) -> bpb.LabelledImage:
    return bpb.LabelledImage(image=pixels(seed, size=40), label=label, **fields)


def check_stream(*photos: bpb.LabelledImage, **fields: Any) -> Iterator[bpb.CheckRecipeRequest]:
    yield Check(header=Check.Header(**fields))
    for one in photos:
        yield Check(image=one)


def quantise_stream(
    n: int = 8, evaluation: tuple[bpb.LabelledImage, ...] = (), **fields: Any
) -> Iterator[bpb.QuantiseBackboneRequest]:
    yield Quantise(header=Quantise.Header(**fields))
    for seed in range(n):
        calibration = Quantise.Calibration(image=pixels(seed, size=40), name=f"{seed}.png")
        yield Quantise(calibration=calibration)
    for one in evaluation:
        yield Quantise(evaluation=one)


def test_a_recipe_check_reports_what_each_recipe_makes_of_the_photos(admin: Caller) -> None:
    photos = [photo(seed, "ab"[seed % 2], name=f"{seed}.png") for seed in range(8)]
    classes = ["a", "b", "c", "d", "e"]
    *progress, report = admin.backbones.CheckRecipe(check_stream(*photos, class_names=classes))
    shares = [one.progress for one in (*progress, report)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1
    assert not any(one.trials for one in progress)
    assert report.n_images == 8
    assert report.verdict
    first, *others = report.trials
    toy = admin.backbones.GetBackbone(bpb.GetBackboneRequest()).backbone
    assert (first.change, first.recipe) == ("", toy.recipe)
    assert others
    assert all(one.change for one in others)
    assert all(one.n_images == 8 for one in report.trials)
    assert all(0 <= one.accuracy <= 1 and 0 < one.confidence <= 1 for one in report.trials)
    assert 0 <= report.suggested < len(report.trials)
    *_, unnamed = admin.backbones.CheckRecipe(check_stream(*photos, backbone="toy"))
    assert all(one.accuracy == -1 for one in unnamed.trials)


CHECKS: dict[str, tuple[Callable[[], Iterator[bpb.CheckRecipeRequest]], str, str]] = {
    "no header": (lambda: iter([Check(image=photo(0))]), "ARGUMENT_INVALID", "no header"),
    "a header twice": (
        lambda: iter([Check(header=Check.Header()), Check(header=Check.Header())]),
        "ARGUMENT_INVALID",
        "a header again",
    ),
    "an unknown backbone": (lambda: check_stream(backbone="x"), "BACKBONE_NOT_FOUND", "'toy'"),
    "a backbone with a slash": (lambda: check_stream(backbone="a/b"), "NAME_INVALID", "a/b"),
    "no photos": (lambda: check_stream(), "IMAGES_EMPTY", "no photos"),
    "a label with a line": (lambda: check_stream(photo(0, "a\n")), "NAME_INVALID", "label"),
    "a name with NUL": (lambda: check_stream(photo(0, name="\0")), "NAME_INVALID", "image 0"),
    "no image": (lambda: check_stream(bpb.LabelledImage()), "IMAGE_INVALID", "image 0"),
    "text": (
        lambda: check_stream(
            photo(0), bpb.LabelledImage(image=common_pb2.Image(encoded=b"x"), name="b.png")
        ),
        "IMAGE_INVALID",
        "b.png",
    ),
    "a tensor": (
        lambda: check_stream(
            bpb.LabelledImage(image=image_to_message(np.zeros((3, 8, 8), np.float32)))
        ),
        "TENSOR_INVALID",
        "past the recipe",
    ),
    "too few classes": (
        lambda: check_stream(photo(0), class_names=["a"]),
        "ARGUMENT_INVALID",
        "class",
    ),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_wrong_recipe_check_says_what_is_wrong(name: str, admin: Caller) -> None:
    stream, reason, words = CHECKS[name]
    said = refusal(lambda: admin.backbones.CheckRecipe(stream()))
    code = "NOT_FOUND" if reason == "BACKBONE_NOT_FOUND" else "INVALID_ARGUMENT"
    assert (said.code, said.reason) == (code, reason), said
    assert words in said.message


def test_photos_are_bounded_in_number_and_bytes(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound, photos in (("max_photos", 5), ("max_bytes", 20_000)):
        monkeypatch.setattr("icecore.server.rpc.photos.Budget.__init__", _bounded(bound, photos))
        for call in (
            lambda: admin.backbones.CheckRecipe(check_stream(*map(photo, range(6)))),
            lambda: admin.backbones.QuantiseBackbone(quantise_stream(6)),
        ):
            said = refusal(call)
            assert (said.code, said.reason) == ("INVALID_ARGUMENT", "IMAGES_TOO_MANY"), bound
        monkeypatch.undo()


def _bounded(bound: str, most: int) -> Callable[..., None]:
    really = Budget.__init__
    fields: dict[str, Any] = {bound: most}
    return lambda self: really(self, **fields)


def test_quantising_tells_how_far_it_is_and_then_what_it_made(
    admin: Caller, stand_in: StandIn
) -> None:
    plain = add_backbone(admin, "resnet18", network("resnet18"), card=CARD)
    evaluation = tuple(photo(9, "a", set=name) for name in ("x", "", "x"))
    answers = list(
        admin.backbones.QuantiseBackbone(
            quantise_stream(8, evaluation, backbone="resnet18", request_id="q", percentile=99.0)
        )
    )
    assert [(one.stage, one.progress) for one in answers] == [
        ("calibrating", 0.25),
        ("comparing", 0.75),
        ("storing", 1.0),
        ("done", 1.0),
    ]
    assert not any(one.HasField("backbone") for one in answers[:-1])
    made = answers[-1].backbone
    ((name, calibration, sets, percentile),) = stand_in.given
    assert (name, len(calibration), percentile) == ("resnet18", 8, 99.0)
    assert [(one.name, len(one.images), one.labels) for one in sets] == [
        ("x", 2, ["a", "a"]),
        ("evaluation", 1, ["a"]),
    ]
    assert (made.name, made.precision) == ("resnet18-int8", "int8")
    assert made.derived_from == plain.digest
    assert made.recipe == plain.recipe
    assert (made.card.licence, made.card.accuracy) == ("MIT", ""), "published of another network"
    assert made.added_by == plain.added_by
    assert made.fidelity.n_calibration_images == 8
    assert made.fidelity.throughput_ratio == 2.5
    assert made.fidelity.has_vnni
    assert [(one.name, one.depth, one.cosine) for one in made.fidelity.layers] == [
        ("one", 1, 0.999),
        ("sum", 0, 0.998),
    ]
    (probe,) = made.fidelity.probes
    assert (probe.set, probe.layer, probe.n_images) == ("ants", "one", 200)
    assert (probe.float32_accuracy, probe.int8_accuracy) == (0.9, 0.89)
    assert (probe.difference_low, probe.difference_high) == (-0.02, 0.01)
    got = admin.backbones.GetBackbone(bpb.GetBackboneRequest(backbone="resnet18-int8"))
    assert got.backbone == made

    # Once: the same again is answered at once, and something else under the id is refused.
    again = quantise_stream(8, evaluation, backbone="resnet18", request_id="q", percentile=99.0)
    (answer,) = admin.backbones.QuantiseBackbone(again)
    assert answer == answers[-1]
    assert len(stand_in.given) == 1
    other = quantise_stream(7, evaluation, backbone="resnet18", request_id="q", percentile=99.0)
    assert refusal(lambda: admin.backbones.QuantiseBackbone(other)).reason == "REQUEST_ID_REUSED"

    said = refusal(lambda: admin.backbones.QuantiseBackbone(quantise_stream(backbone=made.name)))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "BACKBONE_NOT_FLOAT")
    for name in ("resnet18", "resnet18-int8"):
        remove_backbone(admin, name)


NO_IMAGE = bpb.LabelledImage(label="x")

REFUSED: dict[str, tuple[Callable[[], Iterator[bpb.QuantiseBackboneRequest]], str, str]] = {
    "no header": (
        lambda: iter([Quantise(evaluation=photo(0))]),
        "ARGUMENT_INVALID",
        "holds no header",
    ),
    "an unknown backbone": (lambda: quantise_stream(backbone="x"), "BACKBONE_NOT_FOUND", "'toy'"),
    "a wrong name": (lambda: quantise_stream(name="a/b"), "NAME_INVALID", "a/b"),
    "its own name": (lambda: quantise_stream(name="toy"), "ARGUMENT_INVALID", "another name"),
    "a broken request id": (lambda: quantise_stream(request_id="a b"), "REQUEST_ID_INVALID", "a b"),
    "no images": (lambda: quantise_stream(0), "CALIBRATION_INVALID", "0 calibration images"),
    "too few images": (lambda: quantise_stream(3), "CALIBRATION_INVALID", "3 calibration images"),
    "an unlabelled one": (
        lambda: quantise_stream(8, (photo(0),)),
        "ARGUMENT_INVALID",
        "evaluation image 8 has no label",
    ),
    "a percentile of 20": (lambda: quantise_stream(percentile=20.0), "CALIBRATION_INVALID", "20"),
    "no image in a part": (
        lambda: iter([Quantise(header=Quantise.Header()), Quantise(evaluation=NO_IMAGE)]),
        "IMAGE_INVALID",
        "image 0",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_quantising_says_what_is_wrong(name: str, admin: Caller) -> None:
    stream, reason, words = REFUSED[name]
    said = refusal(lambda: admin.backbones.QuantiseBackbone(stream()))
    code = "NOT_FOUND" if reason == "BACKBONE_NOT_FOUND" else "INVALID_ARGUMENT"
    assert (said.code, said.reason) == (code, reason), said
    assert words in said.message
    listed = admin.backbones.ListBackbones(bpb.ListBackbonesRequest()).backbones
    assert [one.name for one in listed] == ["toy"]


def test_one_at_a_time_and_a_caller_who_leaves_ends_the_work(
    admin: Caller, stand_in: StandIn
) -> None:
    stand_in.waits = True
    call = admin.backbones.QuantiseBackbone(quantise_stream())
    assert next(call).stage == "calibrating"
    for busy in (
        lambda: admin.backbones.QuantiseBackbone(quantise_stream()),
        lambda: admin.backbones.CheckRecipe(check_stream(photo(0))),
    ):
        said: Refusal = refusal(busy)
        assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
    call.cancel()
    with pytest.raises(grpc.RpcError):
        list(call)
    assert stand_in.was_cancelled.wait(30)
    stand_in.waits = False
    last = _once_it_may(
        lambda: list(admin.backbones.QuantiseBackbone(quantise_stream(name="after")))
    )
    assert last.backbone.name == "after"
    remove_backbone(admin, "after")


def _once_it_may(call: Callable[[], list[Any]]) -> Any:
    """The last answer of a call whose turn is given back a moment after the other's end."""
    for _ in range(1000):
        with contextlib.suppress(grpc.RpcError):
            return call()[-1]
    raise AssertionError("it is still refused")


def test_a_toy_is_really_quantised(admin: Caller) -> None:
    add_toy(admin, "small", 3)
    *_, last = admin.backbones.QuantiseBackbone(quantise_stream(backbone="small"))
    made = last.backbone
    assert (made.name, made.precision, made.depths) == ("small-int8", "int8", 3)
    assert made.fidelity.n_calibration_images == 8
    plain = admin.backbones.GetBackbone(bpb.GetBackboneRequest(backbone="small"))
    int8 = admin.backbones.GetBackbone(bpb.GetBackboneRequest(backbone="small-int8"))
    assert [one.name for one in int8.layers if one.depth] == [
        one.name for one in plain.layers if one.depth
    ]
    for name in ("small", "small-int8"):
        remove_backbone(admin, name)

"""What an image is expected to cost, and how that is learned."""

import io

import numpy as np
import pytest
from PIL import Image

from icecore.server.embedding.images import Encoded, Pixels, Prepared
from icecore.server.embedding.scheduling.costs import Costs, Mean
from icecore.server.embedding.scheduling.pieces import Ran
from toys import toy_backbone

BACKBONE = toy_backbone()
SHALLOW = (BACKBONE.tap(BACKBONE.layer("one")),)
DEEP = (BACKBONE.tap(BACKBONE.layer("three")),)
TENSOR = Prepared(np.zeros((3, 8, 8), np.float32))


def jpeg(width: int, height: int) -> Encoded:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "JPEG")
    return Encoded(file.getvalue())


def ran(decode_ms: float, compute_ms: float, stretch: float = 1.0) -> Ran:
    """Times of a piece whose thread had its core for one part in `stretch` of the time."""
    return Ran(
        queue_ms=0.0,
        decode_ms=stretch * decode_ms,
        compute_ms=stretch * compute_ms,
        decode_cpu_ms=decode_ms,
        pass_cpu_ms=compute_ms,
    )


def test_a_cost_is_learned_for_the_deepest_layer() -> None:
    costs = Costs()
    for _ in range(60):
        costs.guess(BACKBONE, DEEP, TENSOR).learn(ran(0.0, 40.0))
        costs.guess(BACKBONE, SHALLOW, TENSOR).learn(ran(0.0, 5.0))
    assert costs.guess(BACKBONE, DEEP, TENSOR).cost_ms == pytest.approx(40.0, rel=0.02)
    assert costs.guess(BACKBONE, SHALLOW, TENSOR).cost_ms == pytest.approx(5.0, rel=0.02)
    both = costs.guess(BACKBONE, (*SHALLOW, *DEEP), TENSOR)
    assert both.cost_ms == pytest.approx(40.0, rel=0.02), "one pass up to the deepest"


def test_reading_an_image_costs_by_its_megapixels() -> None:
    """Learned on one size, foreseen for another."""
    costs = Costs()
    for _ in range(60):
        costs.guess(BACKBONE, DEEP, jpeg(1000, 900)).learn(ran(10.0, 40.0))
    large = costs.guess(BACKBONE, DEEP, jpeg(3000, 3300)).cost_ms
    assert large == pytest.approx(40.0 + 10.0 * (9.9 + 0.1) / (0.9 + 0.1), rel=0.02)


def test_waiting_for_a_core_is_no_cost() -> None:
    costs = Costs()
    for _ in range(60):
        costs.guess(BACKBONE, DEEP, TENSOR).learn(ran(0.0, 40.0, stretch=3.0))
    assert costs.guess(BACKBONE, DEEP, TENSOR).cost_ms == pytest.approx(40.0, rel=0.02)


def test_a_backbone_never_seen_is_guessed_from_others_by_its_work() -> None:
    costs, other = Costs(), toy_backbone(1)
    per_mac = 40.0 / BACKBONE.layer("three").macs
    for _ in range(100):
        costs.guess(BACKBONE, DEEP, TENSOR).learn(ran(0.0, 40.0))
    tap = other.tap(other.layer("one"))
    guessed = costs.guess(other, (tap,), TENSOR).cost_ms
    assert guessed == pytest.approx(per_mac * other.layer("one").macs, rel=0.02)


def test_one_sample_far_off_moves_the_mean_a_little() -> None:
    mean = Mean(10.0)
    for _ in range(20):
        mean.learn(10.0)
    mean.learn(10_000.0)
    assert mean.value <= 14.0


def test_a_cost_that_changed_is_learned_anew() -> None:
    mean = Mean(10.0)
    for _ in range(500):
        mean.learn(10.0)
    for _ in range(60):
        mean.learn(1.0)
    assert mean.value == pytest.approx(1.0, rel=0.05)


def test_every_kind_of_image_has_a_cost() -> None:
    costs = Costs()
    pixels = Pixels(np.zeros((30, 40, 3), np.uint8))
    for image in (jpeg(40, 30), pixels, TENSOR, Encoded(b"no image")):
        assert costs.guess(BACKBONE, DEEP, image).cost_ms > 0


@pytest.mark.parametrize("side", [2001, 2**32 - 1])
def test_what_is_refused_by_its_header_costs_no_reading(side: int) -> None:
    """Its header may say anything, and nothing of it is read."""
    sides = side.to_bytes(4, "big") * 2
    png = Encoded(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + sides + b"\x08\x02\0\0\0")
    nothing = Encoded(b"no image")
    costs = Costs(max_pixels=2000 * 2000)
    refused, none = (costs.guess(BACKBONE, DEEP, one) for one in (png, nothing))
    assert refused.megapixels == none.megapixels
    assert Costs(max_pixels=side * side).guess(BACKBONE, DEEP, png).megapixels > 4


def test_the_mean_of_a_call_is_over_some_of_its_images() -> None:
    costs = Costs()
    small, large = jpeg(100, 100), jpeg(4000, 4000)
    one, other = (costs.mean_ms(BACKBONE, DEEP, [image]) for image in (small, large))
    mean = costs.mean_ms(BACKBONE, DEEP, [small, large] * 100)
    assert min(one, other) < mean < max(one, other) or one == other
    assert costs.mean_ms(BACKBONE, DEEP, [small] * 1000) == pytest.approx(one)

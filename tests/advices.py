"""Advices made up for tests: what 182 blood cells give, or with anything else in its place."""

import io
from dataclasses import replace
from typing import Any

from PIL import Image

from icecore.client import Accuracy, ProbeKind
from icecore.client.advice_values import (
    Advice,
    Baseline,
    ClassSize,
    ConfusedImage,
    Confusion,
    CurvePoint,
    Forecast,
    LayerAdvice,
    LayerPlace,
    Measured,
    Recommendation,
    Scenario,
    Similarity,
    Size,
    Sufficiency,
    SufficiencyKind,
    Verdict,
    VerdictKind,
    WeakClass,
)

BACKBONE = "efficientnet-lite0"
CELLS = ("eosinophil", "lymphocyte", "monocyte", "neutrophil")
BASELINES = ("majority", "pixels", "hog", "random twin")

_ESTIMATES = (
    0.819, 0.808, 0.868, 0.885, 0.797, 0.813, 0.791, 0.830, 0.852, 0.874, 0.890, 0.918,
    0.868, 0.890, 0.868, 0.857, 0.901, 0.901, 0.879, 0.874, 0.923, 0.918, 0.918, 0.923,
    0.923, 0.890, 0.907, 0.901, 0.918, 0.874, 0.885, 0.879, 0.863,
)  # fmt: skip
"""Of blood cells at each depth of EfficientNet-Lite0, as `bench/science` measured them."""


def jpeg(colour: tuple[int, int, int] = (120, 90, 200), side: int = 96) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "JPEG", quality=80)
    return file.getvalue()


def around(estimate: float, half: float = 0.06) -> Accuracy:
    return Accuracy(estimate, max(0.0, estimate - 1.4 * half), min(1.0, estimate + half))


def place(depth: int | None, backbone: str = BACKBONE) -> LayerPlace:
    return LayerPlace(backbone, "logits" if depth is None else f"blocks.{depth}.expand", depth)


def layer(depth: int | None, estimate: float, backbone: str = BACKBONE) -> LayerAdvice:
    rank = depth or 34
    return LayerAdvice(
        place(depth, backbone),
        around(estimate),
        C=0.01,
        dims=min(1280, 32 * rank),
        n_bytes=4_000 + 3_300 * rank**2,
        macs=11_000_000 * rank,
    )


def layers(backbone: str = BACKBONE) -> tuple[LayerAdvice, ...]:
    deep = (layer(depth, estimate, backbone) for depth, estimate in enumerate(_ESTIMATES, 1))
    return (*deep, layer(None, 0.802, backbone))


def blood(**other: Any) -> Advice:
    """Return the advice on blood cells, some of its fields replaced."""
    advice = Advice(
        collection_id="blood-wbc",
        n_labelled=182,
        n_images=182,
        n_different_images=182,
        classes=tuple(map(ClassSize, CELLS, (22, 52, 48, 60))),
        kind=ProbeKind.SOFTMAX,
        seed=0,
        layers=layers(),
        chosen=place(21),
        cheapest=place(12),
        last=place(33),
        accuracy=Accuracy(0.907, 0.824, 0.953),
        verdict=verdict(VerdictKind.POSITIVE),
        sufficiency=sufficiency(SufficiencyKind.COLLECT_MORE),
        scenario=scenario(Recommendation.PROBE_EARLIER),
        confusion=confusion(CELLS),
        seconds=48.2,
    )
    return replace(advice, **other)


def verdict(kind: VerdictKind, *, limiting: str = "hog", more: int | None = None) -> Verdict:
    def baseline(name: str, estimate: float, difference: float) -> Baseline:
        return Baseline(
            name, around(estimate), difference, difference - 0.041, difference + 0.043, 0.004
        )

    differences = {
        VerdictKind.POSITIVE: 0.082,
        VerdictKind.NO_GAIN: -0.011,
        VerdictKind.NEGATIVE: -0.064,
        VerdictKind.UNDECIDED: 0.017,
    }
    found = tuple(
        baseline(name, 0.907 - differences[kind], differences[kind])
        if name == limiting
        else baseline(name, 0.33 + 0.1 * i, 0.577 - 0.1 * i)
        for i, name in enumerate(BASELINES)
    )
    return Verdict(kind, limiting, 0.02, more, found)


def sufficiency(kind: SufficiencyKind) -> Sufficiency:
    gain = {SufficiencyKind.COLLECT_MORE: 0.032, SufficiencyKind.UNDECIDED: 0.012}.get(kind, 0.002)
    return Sufficiency(
        kind=kind,
        n_more=123 if kind is SufficiencyKind.COLLECT_MORE else 0,
        points=tuple(map(CurvePoint, (36.4, 72.8, 109.2, 145.6), (0.78, 0.855, 0.885, 0.9))),
        forecasts=(
            Forecast(182, 0.907, 0.873, 0.936),
            Forecast(273, 0.907 + gain / 2, 0.884, 0.951),
            Forecast(364, 0.907 + 0.7 * gain, 0.89, 0.962),
            Forecast(546, 0.907 + gain, 0.897, 0.974),
        ),
        gain=gain,
        gain_low=gain - 0.02,
        gain_high=gain + 0.023,
        probability={SufficiencyKind.COLLECT_MORE: 0.93, SufficiencyKind.UNDECIDED: 0.52}.get(
            kind, 0.08
        ),
        weakest_classes=(WeakClass("monocyte", 48, Accuracy(0.792, 0.61, 0.903)),),
    )


def scenario(recommendation: Recommendation, *, is_contradicted: bool = False) -> Scenario:
    few = (Recommendation.FINE_TUNE, Recommendation.FINE_TUNE_WHOLE)
    later = is_contradicted and recommendation is Recommendation.PROBE_EARLIER
    return Scenario(
        size=Size.LARGE if recommendation in few else Size.SMALL,
        similarity={
            Recommendation.PROBE_AT_LAST: Similarity.SIMILAR,
            Recommendation.PROBE_EARLIER: Similarity.DIFFERENT,
            Recommendation.FINE_TUNE_WHOLE: Similarity.DIFFERENT,
        }.get(recommendation, Similarity.PARTLY),
        recommendation=recommendation,
        familiarity=Measured(0.24, 0.22, 0.26),
        earlier_gain=Measured(-0.041, -0.08, -0.003) if later else Measured(0.044, 0.005, 0.09),
        is_contradicted=is_contradicted,
    )


def confusion(classes: tuple[str, ...], *, thumbnail: bytes | None = None) -> Confusion:
    """Return answers that are mostly right; of each class some are taken for the next one."""
    k = len(classes)
    counts = tuple(
        tuple((40 + i % 7 if i == j else 9 - i % 4 if j == (i + 1) % k else 0) for j in range(k))
        for i in range(k)
    )
    picture = jpeg() if thumbnail is None else thumbnail
    pairs = [(i, (i + 1) % k) for i in range(k)]
    wrong = [
        ConfusedImage(f"{classes[i]}/{at:03d}.jpg", classes[i], classes[j], picture)
        for i, j in pairs[:8]
        for at in range(3)
    ]
    right = [ConfusedImage(f"{name}/right.jpg", name, name, picture) for name in classes]
    return Confusion(classes, counts, (*wrong, *right))

"""What an advice about transfer says: frozen values without behaviour of their own."""

from icecore.client.advice_values.advice import Advice, Advising, ClassSize
from icecore.client.advice_values.confusion import ConfusedImage, Confusion
from icecore.client.advice_values.layers import JoinedAdvice, LayerAdvice, LayerPlace
from icecore.client.advice_values.scenario import (
    Measured,
    Recommendation,
    Scenario,
    Similarity,
    Size,
)
from icecore.client.advice_values.sufficiency import (
    CurvePoint,
    Forecast,
    Sufficiency,
    SufficiencyKind,
    WeakClass,
)
from icecore.client.advice_values.verdict import Baseline, Verdict, VerdictKind

__all__ = [
    "Advice",
    "Advising",
    "Baseline",
    "ClassSize",
    "ConfusedImage",
    "Confusion",
    "CurvePoint",
    "Forecast",
    "JoinedAdvice",
    "LayerAdvice",
    "LayerPlace",
    "Measured",
    "Recommendation",
    "Scenario",
    "Similarity",
    "Size",
    "Sufficiency",
    "SufficiencyKind",
    "Verdict",
    "VerdictKind",
    "WeakClass",
]

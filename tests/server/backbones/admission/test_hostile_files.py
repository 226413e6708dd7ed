"""Over 150 hostile files: each is refused, with a sentence."""

import pytest

from hostile_graphs import HOSTILE, SLOW
from icecore.server.backbones.admission.admitting import admit
from icecore.server.backbones.admission.house_form.reading import read_model
from icecore.server.backbones.admission.inspecting.refusal import one_sentence
from icecore.server.backbones.admission.limits import AdmissionLimits
from icecore.server.backbones.admission.vetting.vetting import vet
from icecore.server.errors import IcecoreError

LIMITS = AdmissionLimits(cpu_s=4, max_fields=200_000)
"""Less than usual of what a test would have to wait for."""

NOISE = (
    "Traceback",
    "Error(",
    "object at",
    "ONNXRuntime",
    "onnxruntime",
    "0x",
    ".py",
    ".cc:",
    "icecore/",
    "\\x",
)


def look_at(data: bytes) -> None:
    """What the vetting and the reading take goes on to a process of its own, which begins anew.

    `bench/hostile_models.py` sends all of them there.
    """
    vet(data, LIMITS)
    read_model(data)
    admit(data, limits=LIMITS)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != SLOW.name])
def test_a_hostile_file_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(IcecoreError) as caught:
        look_at(HOSTILE[name].make())
    said = one_sentence(str(caught.value))
    assert isinstance(caught.value, HOSTILE[name].errors), f"{caught.type.__name__}: {said}"
    assert HOSTILE[name].says in said
    assert 10 < len(said) < 300, f"{len(said)} characters: {said}"
    assert said.isprintable(), f"{said!a} is more than a line"
    noise = [word for word in NOISE if word in said]
    assert not noise or "cannot be printed" in said, f"{noise} in {said!r}"


def test_there_are_at_least_sixty() -> None:
    """What was promised."""
    assert len(HOSTILE) >= 60

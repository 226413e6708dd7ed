"""Which device is chosen, and what is said where it cannot be used."""

import numpy as np
import onnxruntime
import pytest

from icecore.server import telemetry
from icecore.server.backbones.running import devices
from icecore.server.backbones.running.devices import CPU, Device, device, usable_device
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.errors import InvalidArgument
from icecore.server.settings import DEVICES
from toys import toy_backbone

ALL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


def test_auto_is_a_gpu_where_there_is_a_provider_for_one() -> None:
    assert device("auto", ["CPUExecutionProvider"]) is CPU
    assert device("auto", ["AzureExecutionProvider", "CPUExecutionProvider"]) is CPU
    found = device("auto", ALL)
    assert (found.name, found.is_cpu) == ("cuda", False)
    assert found.providers == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert found.n_passes > 0


def test_tensorrt_leaves_to_cuda_what_it_cannot_run() -> None:
    assert device("tensorrt", ALL).providers == tuple(ALL)
    for name in DEVICES[1:]:
        found = device(name, ALL)
        assert found.name == name
        assert len(found.options) == len(found.providers)


def test_a_device_that_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(
        InvalidArgument,
        match="has no CUDAExecutionProvider, which 'cuda' needs: it has CPUExecutionProvider",
    ):
        device("cuda", ["CPUExecutionProvider"])


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="there is one"
)
def test_without_a_gpu_the_processor_is_used() -> None:
    assert usable_device("auto") is CPU
    assert usable_device("cpu") is CPU
    with pytest.raises(InvalidArgument, match="CUDAExecutionProvider"):
        usable_device("cuda")


def test_a_gpu_that_does_not_work_is_told_and_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Device("cuda", 2, ("CPUExecutionProvider",))
    told: list[object] = []
    monkeypatch.setattr(devices, "device", lambda _: broken)
    monkeypatch.setattr(devices, "_refusal", lambda _: "no driver")
    monkeypatch.setattr(telemetry, "log", lambda _, **fields: told.append(fields))
    assert usable_device("auto") is CPU
    assert told == [{"device": "cuda", "why": "no driver"}]
    with pytest.raises(InvalidArgument, match="'cuda' cannot be used: no driver"):
        usable_device("cuda")


def test_the_trial_runs_where_it_can() -> None:
    assert devices._refusal(Device("cuda", 2, ("CPUExecutionProvider",))) is None
    assert devices._refusal(Device("cuda", 2, ("CUDAExecutionProvider",))) is not None or (
        "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    )


def test_sessions_of_a_device_give_the_same_codes() -> None:
    """Here ONNX Runtime's own processor plays the device; float32 is added in another order."""
    toy = toy_backbone()
    elsewhere = Device("cuda", 1, ("CPUExecutionProvider",))
    inputs = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    for given in (inputs, np.stack([toy.recipe.normalise(one) for one in inputs])):
        made = Sessions(max_bytes=1 << 20, threads=2, device=elsewhere).run(toy, toy.core, given)
        expected = Sessions(max_bytes=1 << 20, threads=1).run(toy, toy.core, given)
        for a, b in zip(made, expected, strict=True):
            assert np.allclose(a, b, rtol=1e-5, atol=1e-6)

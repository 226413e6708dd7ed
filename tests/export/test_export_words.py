"""What an export says and names, as far as that needs no torch."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from icecore.server.backbones.exporting.naming import names_of, unique
from icecore.server.backbones.exporting.of_timm import trained_on
from icecore.server.backbones.exporting.subject import resized
from icecore.server.backbones.recipes.recipe import Recipe


def run(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the module as the command line does, with a folder in front of all others."""
    found = [str(path), *filter(None, sys.path)] if path else sys.path
    return subprocess.run(
        [sys.executable, "-P", "-m", "icecore.server.backbones", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(found)},
    )


@pytest.mark.parametrize("spec", ["torchvision:resnet18", "timm:resnet18", "drawn:network"])
def test_without_torch_the_way_to_get_it_is_said(spec: str, tmp_path: Path) -> None:
    absent = "raise ModuleNotFoundError('no torch', name='torch')"
    (tmp_path / "torch.py").write_text(absent)
    done = run("export", spec, "--out", str(tmp_path / "net.onnx"), path=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == (
        "icecore: torch is not installed, but an export needs it: pip install 'icecore[export]'"
    )


@pytest.mark.parametrize(
    "arguments", [[], ["export"], ["one.onnx", "two.onnx"], ["--help"], ["export", "a:b"]]
)
def test_a_wrong_call_ends_with_2_and_writes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage: " in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--out", "absent/net.onnx"], "there is no folder 'absent'"),
        (["--out", "."], "which is a folder"),
        (["--out", "net.onnx", "--size", "0"], "must be from 1 to 2048 pixels"),
    ],
)
def test_what_cannot_be_written_is_said_before_torch_is_asked_for(
    more: list[str], sentence: str
) -> None:
    done = run("export", "torchvision:resnet18", *more)
    assert done.returncode == 2
    assert sentence in done.stderr


@dataclass(eq=False)
class Node:
    """What naming reads of a node of a torch.fx graph."""

    name: str
    target: str
    meta: dict[str, Any]
    op: str = "call_function"
    users: dict["Node", None] = field(default_factory=dict)


def call(name: str, target: str, *modules: str) -> Node:
    """A node made inside of modules, each 'key=path', outermost first."""
    stack = {key: (path, "type") for key, _, path in (one.partition("=") for one in modules)}
    return Node(name, target, {"nn_module_stack": {"net": ("", "type"), **stack}})


def test_a_tensor_is_called_for_the_innermost_module_whose_output_it_is() -> None:
    block, again = "b=layers.0", "b@1=layers.0"
    conv = call("conv2d", "aten.conv2d.default", block, "c=layers.0.conv")
    square = call("pow_1", "aten.pow.Tensor_Scalar", block, "n=layers.0.norm")
    norm = call("mul", "aten.mul.Tensor", block, "n=layers.0.norm")
    total = call("add", "aten.add.Tensor", block)
    second = call("conv2d_1", "aten.conv2d.default", again, "c@1=layers.0.conv")
    flat = call("view", "aten.view.default")
    nodes = [conv, square, norm, total, second, flat]
    for node, reader in pairwise(nodes):
        node.users[reader] = None
    assert names_of(nodes) == {
        "conv2d": "layers.0.conv",
        "pow_1": "layers.0.norm.pow",
        "mul": "layers.0.norm",
        "add": "layers.0",
        "conv2d_1": "layers.0.conv_1",
        "view": "view",
    }


def test_a_counted_name_is_never_a_modules_own() -> None:
    wanted = {"a": "relu", "b": "relu", "c": "relu_1", "d": "relu"}
    assert unique(wanted) == {"a": "relu", "b": "relu_2", "c": "relu_1", "d": "relu_3"}


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("a1_in1k", "ImageNet-1k"),
        ("augreg_in21k_ft_in1k", "ImageNet-21k, fine-tuned on ImageNet-1k"),
        ("laion2b_ft_in12k_in1k", "LAION-2B, fine-tuned on ImageNet-1k and ImageNet-12k"),
        ("", "not stated"),
    ],
)
def test_a_tag_of_timms_says_what_weights_were_trained_on(tag: str, words: str) -> None:
    assert trained_on(tag) == words


def test_a_recipe_of_another_size_cuts_off_the_same_share() -> None:
    usual = Recipe(height=224, width=224, resize=256)
    assert resized(usual, None) is usual
    assert resized(usual, 112).resize == 128

"""The export of a caller's own network: names, recipe, card, and what is refused."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from icecore.server.backbones.admission.house_form.house import bring_home
from icecore.server.backbones.graphs.layers import read_layers
from icecore.server.backbones.recipes.sources import recipe_of_metadata

WHY = "torch is not installed; `make test-export` installs the extra 'export'"
torch = pytest.importorskip("torch", reason=WHY)
pytest.importorskip("onnxscript", reason=WHY)

from icecore.server.backbones.exporting import command  # noqa: E402

pytestmark = pytest.mark.export

NETWORKS = '''
import torch
from torch import nn

print("a network that talks")


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        y = nn.functional.pad(x, (1, 1, 1, 1))
        y = self.relu(self.bn1(self.conv1(y)))
        y = self.conv2(y)
        y += x
        return self.relu(y)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU6())
        self.layers = nn.Sequential(Block(6), Block(6))
        self.head = nn.Linear(6, 5)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_var, 0.3, 3.0)
                nn.init.normal_(module.running_mean)
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)

    def forward(self, x):
        return self.head(self.layers(self.stem(x)).mean((2, 3)))


class OneByOne(Net):
    def forward(self, x):
        return super().forward(x).view(1, 5)


class Fickle(Net):
    """Tells torch's tracer another network than a plain call computes."""

    def __init__(self):
        super().__init__()
        self.layers[1].register_forward_hook(self.swerve)

    def swerve(self, module, given, result):
        return result if torch.compiler.is_compiling() else result + 0.01 * result.max()


def plain():
    return Net()


def fed():
    return Net(), {"height": 32, "width": 32, "resize": 36, "interpolation": "bilinear"}


def carded():
    network = Net()
    network.recipe = {"height": 24, "width": 40, "resize": 48, "channels": "BGR"}
    network.card = {"source": "a drawer", "licence": "CC0-1.0"}
    return network


def wrongly_fed():
    return Net(), {"height": 0, "width": 32, "resize": 36}


def broken():
    raise ValueError("no such\\nthing")


one_by_one = OneByOne
fickle = Fickle
number = 7
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the module `drawn_networks`, new for each test."""
    (tmp_path / "drawn_networks.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "drawn_networks", raising=False)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return tmp_path


def test_layers_are_named_as_the_modules_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A module called twice counts on; what no module returns is named inside of its module."""
    assert (
        command.main(["drawn_networks:plain", "--out", "net.onnx", "--size", "32", "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["depths"] == [
        "stem.2",
        "layers.0.relu",
        "layers.0.relu_1",
        "layers.1.relu",
        "layers.1.relu_1",
    ]
    names = {layer.name for layer in read_layers(Path("net.onnx").read_bytes())}
    assert {"layers.0.bn1", "layers.0.conv2", "layers.0.add", "mean", "head"} <= names
    assert told["recipe"] is None
    assert told["batch"] == "open"
    assert told["comparison"]["share_of_peak"] <= 1e-5


def test_batch_norms_and_paddings_are_folded_and_no_path_is_left(folder: Path) -> None:
    assert command.main(["drawn_networks:plain", "--out", "net.onnx", "--size", "32"]) == 0
    data = Path("net.onnx").read_bytes()
    kinds = [node.op_type for node in onnx.load_from_string(data).graph.node]
    assert kinds.count("Conv") == 5
    assert {"Pad", "BatchNormalization", "Constant", "Shape"}.isdisjoint(kinds)
    assert str(folder).encode() not in data
    assert b"site-packages" not in data


def test_the_file_computes_what_torch_computes(folder: Path) -> None:
    assert command.main(["drawn_networks:plain", "--out", "net.onnx", "--size", "32"]) == 0
    import drawn_networks  # type: ignore[import-not-found]

    images = np.random.default_rng(9).standard_normal((3, 3, 32, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession(Path("net.onnx").read_bytes())
    (ours,) = session.run(None, {"image": images})
    with torch.no_grad():
        theirs = drawn_networks.Net().eval()(torch.from_numpy(images)).numpy()
    assert np.abs(ours - theirs).max() <= 1e-5


def test_an_export_is_in_house_form_and_says_the_same_each_time() -> None:
    for name in ("one.onnx", "two.onnx"):
        assert command.main(["drawn_networks:fed", "--out", name]) == 0
    data = Path("one.onnx").read_bytes()
    assert bring_home(data, (32, 32)).changes == ()
    assert data == Path("two.onnx").read_bytes()


@pytest.mark.parametrize(
    ("name", "size", "recipe", "source"),
    [
        ("fed", (32, 32), (32, 32, 36, "RGB"), "drawn_networks:fed"),
        ("carded", (24, 40), (24, 40, 48, "BGR"), "a drawer"),
    ],
)
def test_recipe_and_card_are_in_the_file(
    name: str, size: tuple[int, int], recipe: tuple[int, int, int, str], source: str
) -> None:
    assert command.main([f"drawn_networks:{name}", "--out", "net.onnx"]) == 0
    model = onnx.load("net.onnx")
    told = {entry.key: entry.value for entry in model.metadata_props}
    found, card = recipe_of_metadata(told, size, "NCHW")
    assert found is not None
    assert (found.height, found.width, found.resize, found.channels) == recipe
    assert card.source == source
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert (shape[2].dim_value, shape[3].dim_value) == size


def test_a_size_scales_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["drawn_networks:fed", "--out", "net.onnx", "--size", "64", "--json"]
    assert command.main(arguments) == 0
    recipe = json.loads(capsys.readouterr().out)["recipe"]
    assert (recipe["height"], recipe["width"], recipe["resize"]) == (64, 64, 72)


def test_a_network_of_one_image_is_exported_with_a_batch_of_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["drawn_networks:one_by_one", "--out", "net.onnx", "--size", "32", "--json"]
    assert command.main(arguments) == 0
    written = capsys.readouterr()
    assert json.loads(written.out)["batch"] == "one"
    assert "one by one" in written.err


def test_a_file_that_differs_from_torch_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """And the sentence names the first layer that does."""
    assert command.main(["drawn_networks:fickle", "--out", "net.onnx", "--size", "32"]) == 3
    assert not Path("net.onnx").exists()
    assert "is off by" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("drawn_networks", "names no network"),
        ("drawn_networks:absent", "has no 'absent'"),
        ("drawn_networks:number", "must be a callable"),
        ("drawn_networks:broken", "raised ValueError: no such thing"),
        ("drawn_networks:wrongly_fed", "is no recipe"),
        ("no_such_module:it", "there is no module 'no_such_module'"),
        ("torchvision:resnet81", "near it: 'resnet18'"),
        ("torchvision:fcn_resnet50", "has no classifier"),
        ("timm:resnet18x", "near it:"),
        ("timm:resnet18.no_such_tag", "no weights 'no_such_tag'"),
    ],
)
def test_a_mistake_ends_with_2_and_one_line(
    spec: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([spec, "--out", "net.onnx"]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert not Path("net.onnx").exists()


def test_weights_that_do_not_come_end_with_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object, **__: object) -> None:
        raise OSError("the network is closed")

    monkeypatch.setattr("torch.hub.download_url_to_file", closed)
    monkeypatch.setenv("TORCH_HOME", str(Path.cwd()))
    assert command.main(["torchvision:resnet18", "--out", "net.onnx"]) == 3
    told = capsys.readouterr().err.splitlines()[-1]
    assert "did not bring the weights of 'resnet18': the network is closed; --random" in told

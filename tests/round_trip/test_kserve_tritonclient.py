"""NVIDIA's tritonclient against a real server, each in its own environment.

`make test` makes that of tritonclient (.venv/tritonclient). What it is answered is
compared with ONNX Runtime on the toy's own graph and with icecore.v1.
"""

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from callers import calling
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import probe_pb2 as ppb
from icecore.wire.messages import codes_from_message, image_to_message
from kserve_models import labelled_pixels, prepared, train_probes
from servers import Server, serving
from toys import toy_graph

TESTS = Path(__file__).parents[1]
TRITON = Path(sys.prefix) / "tritonclient"
N = 4

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Said:
    """What was sent by tritonclient and what it was answered; and a server to ask again."""

    server: Server
    tensors: Array
    pixels: Array
    files: list[bytes]
    texts: dict[str, Any]
    arrays: dict[str, Array]


def triton_python() -> Path:
    python = TRITON / "bin/python"
    assert python.exists(), f"no {TRITON}: 'make .venv/stamps/tritonclient' makes it"
    return python


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("triton")
    pixels = np.stack([labelled_pixels(number) for number in range(N)])
    files = [_jpeg(one) for one in pixels]
    tensors = prepared(N)
    np.savez(
        folder / "in.npz",
        tensors=tensors,
        pixels=pixels,
        files=np.frombuffer(b"".join(files), np.uint8),
        lengths=[len(file) for file in files],
    )
    with serving(folder / "data", listen="127.0.0.1:0", shared_memory=True) as server:
        with calling(server.address) as caller:
            train_probes(caller)
        called = subprocess.run(
            [
                triton_python(),
                TESTS / "tritonclient_calls.py",
                str(server.listen),
                *(folder / name for name in ("in.npz", "out.json", "out.npz")),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert called.returncode == 0, called.stderr
        texts = json.loads((folder / "out.json").read_text())
        with np.load(folder / "out.npz") as arrays:
            yield Said(server, tensors, pixels, files, texts, dict(arrays))


def _jpeg(pixels: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def _maps(tensors: Array, *layers: str) -> list[Array]:
    """The layers' maps by ONNX Runtime, on the whole graph."""
    model = onnx.load_from_string(toy_graph())
    model.graph.output.extend(onnx.ValueInfoProto(name=layer) for layer in layers)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    maps: list[Array] = session.run(list(layers), {"image": tensors})
    return maps


def _mean(maps: Array) -> Array:
    found: Array = maps.astype(np.float64).mean(axis=(2, 3))
    return found


def _close(got: Array, expected: Array) -> None:
    # float32 sums of at most 64 values
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def _embedded(said: Said, images: list[Any]) -> Array:
    with calling(said.server.address) as caller:
        sent = [image_to_message(image) for image in images]
        (codes,) = caller.codes.Embed(epb.EmbedRequest(images=sent)).codes
    return codes_from_message(codes).values


def test_the_server_lives_is_ready_and_tells_its_models(said: Said) -> None:
    assert said.texts["live"] is True
    assert said.texts["ready"] is True
    assert said.texts["server"]["name"] == "icecore"
    assert "system_shared_memory" in said.texts["server"]["extensions"]
    listed = {(one["name"], one["version"], one["state"]) for one in said.texts["index"]["models"]}
    assert listed == {
        ("toy", "1", "READY"),
        ("probe.p", "1", "READY"),
        ("probe.svm", "1", "READY"),
    }


def test_models_are_ready_that_are_there_and_promoted(said: Said) -> None:
    ready = {name: said.texts[f"ready/{name}"] for name in ("toy", "probe.p", "probe.svm")}
    assert all(ready.values()), ready
    assert not said.texts["ready/absent"]
    assert not said.texts["ready/probe.none"]
    assert not said.texts["ready/toy/2"]


def test_a_backbones_metadata_has_one_input_and_its_default_output(said: Said) -> None:
    """More outputs, and perf_analyzer would ask for each; floats, and it would send NaN."""
    told = said.texts["metadata/toy"]
    assert (told["name"], told["versions"]) == ("toy", ["1"])
    assert told["inputs"] == [
        {"name": "image", "datatype": "UINT8", "shape": ["-1", "8", "8", "3"]}
    ]
    assert told["outputs"] == [{"name": "codes", "datatype": "FP32", "shape": ["-1", "6"]}]
    assert said.texts["aio/metadata"] == told
    config = said.texts["config/toy"]["config"]
    assert config["max_batch_size"] == 1024
    assert config["input"][0]["dims"] == ["8", "8", "3"]
    assert config["input"][0]["data_type"] == "TYPE_UINT8"
    assert config["output"][0]["dims"] == ["6"]
    layers = json.loads(config["parameters"]["layers"]["string_value"])
    assert layers == ["one", "two", "three"]


def test_a_probes_metadata_has_labels_scores_and_probabilities(said: Said) -> None:
    told = said.texts["metadata/probe.p"]
    assert told["inputs"] == said.texts["metadata/toy"]["inputs"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in told["outputs"]] == [
        ("label", "BYTES", ["-1"]),
        ("scores", "FP64", ["-1", "2"]),
        ("probability", "FP64", ["-1"]),
    ]
    parameters = said.texts["config/probe.p"]["config"]["parameters"]
    assert json.loads(parameters["classes"]["string_value"]) == ["a", "b"]
    assert json.loads(parameters["tap"]["string_value"])["layer"] == "three"


def test_tensors_give_the_codes_of_the_whole_network(said: Said) -> None:
    one, two, three, branch = _maps(said.tensors, "one", "two", "three", "branch")
    arrays = said.arrays
    for name in ("plain/codes", "aio/codes", "urgent/codes", "layers/-1", "core/three"):
        _close(arrays[name], _mean(three))
    for name in ("layers/1", "layers/one", "core/one"):
        _close(arrays[name], _mean(one))
    _close(arrays["layers/name:two"], _mean(two))
    _close(arrays["layers/branch"], _mean(branch))


def test_parameters_say_layer_pooling_activation_and_dtype(said: Said) -> None:
    two, three, before = _maps(said.tensors, "two", "three", "one.conv")
    np.testing.assert_array_equal(said.arrays["map/codes"], two)
    np.testing.assert_array_equal(said.arrays["max/codes"], two.max(axis=(2, 3)))
    generalised = np.sqrt(np.mean(three.astype(np.float64) ** 2, axis=(2, 3)))
    # GEM keeps its sums away from 0
    np.testing.assert_allclose(said.arrays["gem/codes"], generalised, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(said.arrays["before/codes"], before)
    half = said.arrays["half/codes"]
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, said.arrays["plain/codes"].astype(np.float16))


def test_pixels_and_files_are_what_they_are_to_embed(said: Said) -> None:
    pixels = _embedded(said, list(said.pixels))
    np.testing.assert_array_equal(said.arrays["pixels/codes"], pixels)
    np.testing.assert_array_equal(said.arrays["turned/codes"], pixels)
    files = _embedded(said, said.files)
    assert not np.array_equal(files, pixels), "JPEG changes pixels"
    np.testing.assert_array_equal(said.arrays["files/codes"], files)
    np.testing.assert_array_equal(said.arrays["column/codes"], files)


def test_probes_say_what_predict_says(said: Said) -> None:
    images = ppb.PredictRequest.Images(images=[image_to_message(one) for one in said.pixels])
    with calling(said.server.address) as caller:
        for probe_id in ("p", "svm"):
            answer = caller.probes.Predict(ppb.PredictRequest(probe_id=probe_id, images=images))
            labels = [one.label for one in answer.predictions]
            assert said.arrays[f"probe.{probe_id}/label"].tolist() == labels == list("abab")
            scores = [list(one.scores) for one in answer.predictions]
            np.testing.assert_array_equal(said.arrays[f"probe.{probe_id}/scores"], scores)
            chances = said.arrays[f"probe.{probe_id}/probability"]
            if probe_id == "svm":
                assert np.isnan(chances).all(), "an SVM that is not calibrated has none"
            else:
                assert chances.tolist() == [one.probability for one in answer.predictions]
    assert said.arrays["probe.p/files/label"].tolist() == list("abab")
    assert said.texts["probe.p/files"]["version"] == "1"


def test_every_answer_is_raw_and_tells_where_the_time_went(said: Said) -> None:
    answers = {name: one for name, one in said.texts.items() if isinstance(one, dict)}
    answers = {name: one for name, one in answers.items() if "is_raw" in one}
    assert len(answers) > 15
    for name, answer in answers.items():
        assert answer["is_raw"], name
        told = {"queue_ms", "decode_ms", "compute_ms", "total_ms", "n_cached"}
        assert told <= set(answer["parameters"]), name
    assert said.texts["plain"]["id"] == "mine"
    assert (said.texts["plain"]["model"], said.texts["plain"]["version"]) == ("toy", "1")


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("model", "NOT_FOUND", "backbone 'absent' is not on this server"),
        ("version", "NOT_FOUND", "version '2' is not of model 'toy'"),
        ("layer", "NOT_FOUND", "layer 'four' is not in backbone 'toy'"),
        ("size", "INVALID_ARGUMENT", "(3, 4, 8), but must be (3, 8, 8)"),
        ("datatype", "INVALID_ARGUMENT", "input 'image' is FP64"),
        ("unpromoted", "FAILED_PRECONDITION", "probe 'none' has no promoted version"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    what: str, code: str, words: str, said: Said
) -> None:
    status, sentence = said.texts[f"refused/{what}"]
    assert status == f"StatusCode.{code}"
    assert words in sentence


def test_a_stream_answers_in_order_and_outlives_a_bad_request(said: Said) -> None:
    (three, one) = _maps(said.tensors, "three", "one")
    assert said.texts["stream/ids"] == [str(number) for number in range(N)]
    _close(said.arrays["stream/codes"], _mean(three))
    _close(said.arrays["aio/stream/codes"], _mean(one))
    is_error, sentence = said.texts["stream/error"]
    assert is_error
    assert "must be (3, 8, 8)" in sentence
    assert "triton_final_response" in said.texts["stream/last"]["parameters"]


def test_statistics_count_images_requests_and_failures(said: Said) -> None:
    (toy,) = said.texts["statistics"]["model_stats"]
    everywhere = {one["name"]: one for one in said.texts["statistics/all"]["model_stats"]}
    assert set(everywhere) == {"toy", "probe.p", "probe.svm"}
    assert everywhere["toy"] == toy
    assert (toy["name"], int(toy["version"])) == ("toy", 1)
    spent = toy["inference_stats"]
    n_requests = int(toy["execution_count"])
    assert n_requests == int(spent["success"]["count"]) == 13 + (N + 1) + 1
    # each of N images, but that those of the stream come one by one
    assert int(toy["inference_count"]) == N * (13 + 1 + 1) + N
    # of those that came to a model there is: layer, size, datatype, the stream's, the region's
    assert int(spent["fail"]["count"]) == 5
    hits, misses = int(spent["cache_hit"]["count"]), int(spent["cache_miss"]["count"])
    assert hits + misses == n_requests
    assert int(spent["compute_infer"]["count"]) == misses
    assert all(int(spent[one]["ns"]) > 0 for one in ("success", "fail", "compute_infer", "queue"))
    assert int(toy["last_inference"]) > 1_700_000_000_000
    assert int(everywhere["probe.p"]["inference_count"]) == 2 * N


def test_tensors_go_and_come_through_shared_memory(said: Said) -> None:
    one, three = _maps(said.tensors, "one", "three")
    _close(said.arrays["shared/codes"], _mean(three))
    _close(said.arrays["shared/one"], _mean(one))
    assert said.texts["shared/status"] == ["in", "out"]
    assert said.texts["shared/place"] == {
        "shared_memory_region": "out",
        "shared_memory_byte_size": 4 * 6 * N,
        "shared_memory_offset": 1024,
    }
    status, sentence = said.texts["shared/gone"]
    assert (status, sentence) == ("StatusCode.NOT_FOUND", "region 'in' is not registered")
    assert said.texts["shared/left"] == {}


BOTH = """
import sys
first, address, site, roots = sys.argv[1:]
sys.path[:0] = roots.split(":")
sys.path.append(site)
if first == "icecore":
    import icecore.client
    import icecore.kserve.open_inference
    import tritonclient.grpc as triton
else:
    import tritonclient.grpc as triton
    import icecore.client
    import icecore.kserve.open_inference
import numpy as np
from icecore.kserve import open_inference
from icecore.server.rpc.kserve import serving
from tritonclient.grpc import service_pb2

x = np.random.default_rng(3).normal(size=(2, 3, 8, 8)).astype(np.float32)
given = triton.InferInput("image", list(x.shape), "FP32")
given.set_data_from_numpy(x)
with triton.InferenceServerClient(address) as client, icecore.client.Client(address) as own:
    theirs = client.infer("toy", [given]).as_numpy("codes")
    ours = own.embed(list(x))[0].values
assert np.array_equal(theirs, ours), (theirs, ours)
assert open_inference.ModelInferRequest is not service_pb2.ModelInferRequest
sent = service_pb2.ModelInferRequest(model_name="toy", id="x")
assert open_inference.ModelInferRequest.FromString(sent.SerializeToString()).id == "x"
print("both")
"""


@pytest.mark.parametrize("first", ["icecore", "tritonclient"])
def test_tritonclient_and_icecore_live_in_one_process(first: str, said: Said) -> None:
    """In either order: the same names, each in a pool of its own."""
    triton_python()
    (site,) = TRITON.glob("lib/python*/site-packages")
    roots = ":".join(
        path for path in sys.path if path.endswith(("proto", "client", "probes", "server"))
    )
    arguments = [first, str(said.server.listen), str(site), roots]
    ran = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", BOTH, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert ran.stdout == "both\n", ran.stderr


FACTS = """
import json
from tritonclient.grpc import model_config_pb2, service_pb2
facts = {}
def walk(message):
    for field in message.fields:
        kind = field.message_type or field.enum_type
        facts[field.full_name] = [field.number, field.type, kind.full_name if kind else ""]
    for one in message.nested_types:
        walk(one)
    for one in message.enum_types:
        facts.update({f"{one.full_name}.{value.name}": value.number for value in one.values})
for file in (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR):
    for message in file.message_types_by_name.values():
        walk(message)
    for one in file.enum_types_by_name.values():
        facts.update({f"{one.full_name}.{value.name}": value.number for value in one.values})
    for service in file.services_by_name.values():
        for method in service.methods:
            facts[method.full_name] = [
                method.input_type.full_name, method.output_type.full_name,
                method.client_streaming, method.server_streaming,
            ]
print(json.dumps(facts))
"""


def test_our_file_of_the_protocol_is_what_tritonclient_speaks() -> None:
    """Each number, type and method of ours is theirs; what we leave out is skipped."""
    theirs = json.loads(
        subprocess.run(
            [triton_python(), "-c", FACTS], check=True, capture_output=True, text=True, timeout=60
        ).stdout
    )
    script = FACTS.replace(
        "from tritonclient.grpc import model_config_pb2, service_pb2",
        "from icecore.kserve import open_inference as service_pb2",
    ).replace("(service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)", "(service_pb2.DESCRIPTOR,)")
    ours = json.loads(
        subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
        ).stdout
    )
    assert len(ours) > 100
    assert ours == {name: theirs.get(name) for name in ours}
    methods = {name for name in theirs if "GRPCInferenceService." in name}
    assert methods <= set(ours), "a method that clients know is missing"


def test_the_page_on_kserve_does_what_it_says(said: Said, tmp_path: Path) -> None:
    """Its Python, with this server, the toy and its probe in place of what it names."""
    page = (TESTS.parent / "docs/KSERVE.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    for word, ours in {
        "127.0.0.1:8471": str(said.server.listen),
        "efficientnet-lite0": "toy",
        "probe.digits": "probe.p",
        "17": "2",
    }.items():
        assert word in code
        code = code.replace(word, ours)
    images = tmp_path / "demo-out/images/3"
    images.mkdir(parents=True)
    (images / "photo.jpg").write_bytes(said.files[1])
    ran = subprocess.run(
        [triton_python(), "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    listed, shapes, label = ran.stdout.splitlines()
    assert listed == "['toy', 'probe.p', 'probe.svm']"
    assert shapes == "(1, 6) (1, 6) (1, 6, 4, 4)"
    assert label.startswith("[b'b'] [[")


def test_a_callers_key_goes_with_tritonclients_headers(said: Said) -> None:
    """Nothing special is needed: `headers` are gRPC's metadata."""
    script = """
import sys
import tritonclient.grpc as triton
with triton.InferenceServerClient(sys.argv[1]) as client:
    print(client.is_server_live(), client.is_server_ready())
    try:
        client.get_model_repository_index(headers={"authorization": "Bearer icecore_wrong"})
    except triton.InferenceServerException as error:
        print(error.status())
"""
    ran = subprocess.run(
        [triton_python(), "-c", script, str(said.server.listen)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.split() == ["True", "True", "StatusCode.UNAUTHENTICATED"], ran.stderr

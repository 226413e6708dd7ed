"""The whole job, by both clients, against a real server of a data folder."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from driven import TWINS, opened
from icecore.client import (
    Added,
    AsyncClient,
    Client,
    Codes,
    FailedPrecondition,
    InvalidArgument,
    NewExample,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    read_admin_key,
)
from servers import serving

Twin = type[Client | AsyncClient]
both = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One server for all tests here, kept up by a client of its own."""
    folder = tmp_path_factory.mktemp("data")
    with Client(data=folder, until_idle_s=0.5) as client:
        client.connect()
        yield folder


def square(label: str, place: int) -> bytes:
    """A PNG, dark or light by its label, with noise of its own."""
    random = np.random.default_rng(place)
    pixels = random.integers(0, 60, (48, 48, 3)) + (180 if label == "light" else 0)
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


EXAMPLES = [
    NewExample(f"{label}/{place}.png", square(label, place), label, {"place": float(place)})
    for label in ("dark", "light")
    for place in range(10)
]


@both
def test_the_main_job_from_images_to_predictions(twin: Twin, data: Path, tmp_path: Path) -> None:
    name = twin.__name__
    file = tmp_path / "light.png"
    file.write_bytes(square("light", 99))
    with opened(twin, data=data) as client:
        depths = [layer.depth for layer in client.layers() if layer.depth]
        assert depths == list(range(1, client.backbone().depths + 1))
        [codes] = client.embed([file, square("dark", 98)], dtype="float16")
        [streamed] = client.embed_stream([file, square("dark", 98)], dtype="float16", batch_size=2)
        assert streamed == [codes]

        client.create_collection(name)
        assert client.add_examples(name, EXAMPLES, batch_size=6) == Added(20)
        again = client.add_examples(name, EXAMPLES[:3], on_duplicate="replace")
        assert again == Added(n_unchanged=3)
        assert client.collection(name).labels == {"dark": 10, "light": 10}
        listed = list(client.list_examples(name, filter="metadata.place >= 7", page_size=2))
        assert [example.example_id for example in listed] == [
            f"{label}/{place}.png" for label in ("dark", "light") for place in (7, 8, 9)
        ]

        [hits] = client.search(name, example_ids=["dark/3.png"], k=1)
        assert (hits[0].example.example_id, round(hits[0].score, 6)) == ("dark/3.png", 1.0)
        by_codes = client.search(name, codes=codes, k=4)
        assert [{hit.example.label for hit in hits} for hits in by_codes] == [{"light"}, {"dark"}]

        stages: list[str] = []
        version = client.train_probe(
            name,
            name,
            kind="softmax",
            layers=-1,
            wait=True,
            on_progress=lambda progress: stages.append(progress.stage),
        )
        assert (version.version, version.is_promoted, version.classes) == (
            1,
            True,
            ("dark", "light"),
        )
        assert version.tap == codes.tap
        assert stages[-1] == "done"
        light, dark = client.predict(name, [file, square("dark", 98)])
        assert (light.label, dark.label, light.version) == ("light", "dark", 1)
        assert light.probability is not None
        assert light.probability > 0.5
        assert list(light.scores) == ["dark", "light"]
        predicted = list(client.predict_stream(name, [file] * 5, batch_size=2))
        assert [one.label for one in predicted] == ["light"] * 5
        for one in predicted:  # an image's neighbours in a batch may move its last bits
            assert one.scores == pytest.approx(light.scores, rel=1e-5)

        second = client.train_probe(name, name, kind="svm", layers=-1, not_worse_by=0.0, wait=True)
        assert not second.is_promoted, "so few images show nothing"
        assert second.not_promoted_reason == "VERSION_WORSE"
        with pytest.raises(FailedPrecondition) as worse:
            client.promote_version(name, 2, not_worse_by=0.02)
        assert worse.value.reason == "VERSION_WORSE"
        compared = client.compare_versions(name, 1, 2)
        assert (compared.version_a, compared.version_b, compared.collection_id) == (1, 2, name)
        assert compared.n_images == compared.n_both_right == compared.n_different_images
        assert (compared.difference.estimate, compared.better) == (0.0, None)
        assert compared.accuracy_a == version.accuracy
        assert client.promote_version(name, 2, not_worse_by=1.0).promoted_version == 2

        assert client.delete_examples(name, ["dark/3.png"]) == 1
        client.delete_probe(name)
        client.delete_collection(name)
        assert name not in [collection.collection_id for collection in client.collections()]
        assert client.probes() == []


@both
def test_mistakes_come_back_as_what_they_are(twin: Twin, data: Path) -> None:
    name = f"mistakes-{twin.__name__}"
    with opened(twin, data=data) as client:
        with pytest.raises(NotFound) as refused:
            client.embed([EXAMPLES[0].image], layers="blocks.5.expan")
        assert refused.value.reason == "LAYER_NOT_FOUND"
        assert "'blocks.5.expand'" in str(refused.value)
        with pytest.raises(InvalidArgument) as bad:
            client.embed([b"no image"])
        assert bad.value.reason == "IMAGE_INVALID"
        client.create_collection(name)
        told: list[Added] = []
        with pytest.raises(InvalidArgument, match="'third'"):
            client.add_examples(
                name, [*EXAMPLES[:2], NewExample("third", b"x")], batch_size=1, on_batch=told.append
            )
        assert told == [Added(1)] * 2, "what was durable before the mistake stays"
        assert client.collection(name).n_examples == 2
        [codes] = client.embed([EXAMPLES[0].image], activation="none")
        with pytest.raises(FailedPrecondition) as empty:
            client.train_probe(name, name)
        assert empty.value.reason == "CLASSES_TOO_FEW"
        assert isinstance(codes, Codes)
        with pytest.raises(PermissionDenied):
            client.tenants()


def test_tenants_and_keys_from_the_first_to_the_last(data: Path) -> None:
    """Last in this file: once a key exists, nobody is the tenant `default` without one."""
    with Client(data=data, key=read_admin_key(data)) as admin:
        admin.create_tenant("t")
        made = admin.create_key("t", label="laptop")
        assert made.secret not in repr(made)
        assert [key.label for key in admin.keys("t")] == ["laptop"]
        with Client(data=data, key=made.secret) as tenant:
            assert tenant.create_collection("c").collection_name == "tenants/t/collections/c"
            with Client(data=data) as nobody, pytest.raises(Unauthenticated, match="a key"):
                nobody.collections()
            admin.revoke_key("t", made.key.key_id)
            with pytest.raises(Unauthenticated):
                tenant.collections()
        admin.delete_tenant("t")
        assert "t" not in [tenant.tenant_id for tenant in admin.tenants()]


@both
def test_a_message_far_over_the_limit_has_its_reason_too(twin: Twin, tmp_path: Path) -> None:
    """Beyond twice the limit it is gRPC that refuses, without a reason of ours."""
    with (
        serving(tmp_path / "data", max_message_mb=1) as server,
        opened(twin, server.address) as client,
    ):
        for size in (3 << 19, 3 << 20):
            with pytest.raises(ResourceExhausted, match="send fewer or smaller images") as caught:
                client.embed([bytes(size)])
            assert caught.value.reason == "MESSAGE_TOO_LARGE"

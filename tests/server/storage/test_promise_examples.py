"""Examples and their codes, as every keeper promises them."""

import random

import numpy as np
import pytest

from icecore.server import errors
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import AddedCounts, NewBatch, OnDuplicate
from storing import LAYERS, add, batch_of, codes_of, make_collection


def assert_holds(tenant: TenantStore, salts: dict[str, str]) -> None:
    """The collection holds just these, each with the codes that its name and salt give."""
    found = tenant.snapshot("ants", list(LAYERS))
    assert [example.example_id for example in found.examples] == sorted(salts)
    assert tuple(tenant.list_examples("ants", limit=10**6)) == tuple(found.examples)
    assert tenant.collection("ants").n_examples == len(salts)
    for layer in LAYERS:
        wanted = [codes_of([name], salt=salts[name])[layer][0] for name in sorted(salts)]
        got = found.codes[layer]
        assert got.dtype == np.float16
        assert len(got) == len(salts)
        for name, row, own in zip(sorted(salts), got, wanted, strict=True):
            np.testing.assert_array_equal(row, own, err_msg=f"{name!r} at {layer!r}")


def test_what_is_added_is_read_back(tenant: TenantStore) -> None:
    make_collection(tenant)
    metadata: dict[str, str | float | bool] = {
        "year": 2020.0,
        "by": "É\U0001f41c",
        "good": True,
        "a/b": -1.5,
    }
    batch = batch_of(["z/1.png", "a"], label="bee", metadata=metadata)
    assert tenant.add_examples("ants", batch, on_duplicate=OnDuplicate.REFUSE) == AddedCounts(
        2, 0, 0
    )
    first = tenant.list_examples("ants", limit=1)[0]
    assert (first.example_id, first.label, first.image_sha256) == ("a", "bee", "sha of a")
    assert dict(first.metadata) == metadata
    assert first.metadata["good"] is True, "a boolean became a number"
    assert tenant.image("ants", "z/1.png") == b"image of z/1.png"
    assert tenant.known_examples("ants", ["a", "q"]) == {"a": first}
    assert_holds(tenant, {"a": "", "z/1.png": ""})


def test_any_history_of_changes_leaves_each_example_its_own_codes(tenant: TenantStore) -> None:
    """Additions of many sizes, replacements and deletions against a dict that does the same."""
    make_collection(tenant)
    chance = random.Random(7)
    model: dict[str, str] = {}
    for step in range(120):
        if model and chance.random() < 0.3:
            gone = chance.sample(sorted(model), min(len(model), chance.choice([1, 2, 40])))
            assert tenant.delete_examples("ants", gone) == len(gone)
            for name in gone:
                del model[name]
            continue
        size = chance.choice([1, 1, 1, 1, 2, 20, 300])
        names = sorted({f"{chance.randrange(2000):04}" for _ in range(size)})
        policy = chance.choice([OnDuplicate.REPLACE, OnDuplicate.SKIP])
        known = [name for name in names if name in model]
        counts = tenant.add_examples("ants", batch_of(names, salt=str(step)), on_duplicate=policy)
        if policy is OnDuplicate.REPLACE:
            model.update(dict.fromkeys(names, str(step)))
            wanted = AddedCounts(len(names) - len(known), len(known), 0)
        else:
            model.update({name: str(step) for name in names if name not in model})
            wanted = AddedCounts(len(names) - len(known), 0, len(known))
        assert counts == wanted, f"step {step}"
    assert_holds(tenant, model)


def test_an_id_twice_in_a_batch_is_refused(tenant: TenantStore) -> None:
    make_collection(tenant)
    with pytest.raises(errors.IdDuplicate, match="'a'"):
        add(tenant, ["a", "b", "a"])
    assert_holds(tenant, {})


def test_a_known_id_is_refused_with_its_whole_batch(tenant: TenantStore) -> None:
    make_collection(tenant)
    add(tenant, ["b"])
    before = tenant.collection("ants")
    with pytest.raises(errors.ExampleExists, match="'b'"):
        add(tenant, ["a", "b", "c"])
    assert tenant.collection("ants") == before
    assert_holds(tenant, {"b": ""})


@pytest.mark.parametrize(
    "change",
    [
        {"label": "bee"},
        {"metadata": {"n": 1}},
        {"metadata": {"n": 1.0, "m": True}},
        {"salt": "!"},
    ],
)
def test_replacing_leaves_what_is_the_same(tenant: TenantStore, change: dict[str, object]) -> None:
    make_collection(tenant)
    same = {"metadata": {"n": 1.0}}
    tenant.add_examples("ants", batch_of(["a", "b"], **same), on_duplicate=OnDuplicate.REFUSE)  # type: ignore[arg-type]
    sequence = tenant.collection("ants").sequence
    counts = tenant.add_examples(
        "ants",
        batch_of(["a", "b"], **same),  # type: ignore[arg-type]
        on_duplicate=OnDuplicate.REPLACE,
    )
    assert counts == AddedCounts(0, 0, 2)
    assert tenant.collection("ants").sequence == sequence, "nothing has changed"
    counts = tenant.add_examples(
        "ants",
        batch_of(["a"], **{**same, **change}),  # type: ignore[arg-type]
        on_duplicate=OnDuplicate.REPLACE,
    )
    assert counts == AddedCounts(0, 1, 0)
    assert tenant.collection("ants").n_examples == 2


def test_a_replaced_example_has_its_new_image_label_and_codes(tenant: TenantStore) -> None:
    make_collection(tenant)
    add(tenant, ["a", "b"], label="ant")
    add(tenant, ["b", "c"], label="bee", salt="new", on_duplicate=OnDuplicate.REPLACE)
    assert tenant.image("ants", "b") == b"image of bnew"
    assert dict(tenant.collection("ants").labels) == {"ant": 1, "bee": 2}
    assert_holds(tenant, {"a": "", "b": "new", "c": "new"})


def test_what_the_caller_left_out_counts_as_unchanged(tenant: TenantStore) -> None:
    make_collection(tenant)
    counts = tenant.add_examples(
        "ants", NewBatch([], {}, n_unchanged=3), on_duplicate=OnDuplicate.REFUSE
    )
    assert counts == AddedCounts(0, 0, 3)
    with pytest.raises(errors.CollectionNotFound):
        tenant.add_examples("bees", NewBatch([], {}), on_duplicate=OnDuplicate.REFUSE)


def test_deleting_is_all_or_none(tenant: TenantStore) -> None:
    make_collection(tenant)
    add(tenant, ["a", "b", "c"])
    with pytest.raises(errors.ExampleNotFound, match="'q'"):
        tenant.delete_examples("ants", ["a", "q", "r"])
    assert_holds(tenant, {"a": "", "b": "", "c": ""})
    assert tenant.delete_examples("ants", ["a", "c", "a"]) == 2
    assert tenant.delete_examples("ants", []) == 0
    assert_holds(tenant, {"b": ""})


def test_examples_are_listed_by_page_in_order_of_code_point(tenant: TenantStore) -> None:
    make_collection(tenant)
    names = ["Z", "a", "b/2", "b/10", "é", "\U0001f41c", "\uffee"]
    add(tenant, names)
    first = tenant.list_examples("ants", limit=4)
    rest = tenant.list_examples("ants", after=first[-1].example_id)
    assert [one.example_id for one in (*first, *rest)] == sorted(names)


def test_a_collection_without_images_says_so(tenant: TenantStore) -> None:
    make_collection(tenant, keep_images=False)
    tenant.add_examples("ants", batch_of(["a"], has_images=False), on_duplicate=OnDuplicate.REFUSE)
    with pytest.raises(errors.ImagesNotKept, match="'a'"):
        tenant.image("ants", "a")
    with pytest.raises(errors.ExampleNotFound, match="'b'"):
        tenant.image("ants", "b")
    with pytest.raises(ValueError, match="keeps no images"):
        add(tenant, ["b"])
    assert_holds(tenant, {"a": ""})


def test_codes_past_float16_come_back_as_float32(tenant: TenantStore) -> None:
    make_collection(tenant)
    add(tenant, ["a", "c"])
    batch = batch_of(["b"])
    large = np.array([[1e5, 0.1, 3.0, 65504.0]], np.float32)
    tenant.add_examples(
        "ants",
        NewBatch(batch.examples, {**batch.core, "one": large}),
        on_duplicate=OnDuplicate.REFUSE,
    )
    codes = tenant.snapshot("ants", ["one", "two"]).codes
    assert (codes["one"].dtype.name, codes["two"].dtype.name) == ("float32", "float16")
    np.testing.assert_array_equal(codes["one"][1], large[0])
    np.testing.assert_array_equal(codes["one"][0], codes_of(["a"])["one"][0])


def test_an_unknown_layer_names_those_that_are_there(tenant: TenantStore) -> None:
    make_collection(tenant)
    assert tenant.snapshot("ants", ["nine"]).codes["nine"].shape[0] == 0
    add(tenant, ["a"])
    with pytest.raises(errors.LayerNotFound, match=r"'nine'.*'one', 'two', 'three'"):
        tenant.snapshot("ants", ["one", "nine"])


def test_an_emptied_collection_has_no_codes(tenant: TenantStore) -> None:
    make_collection(tenant)
    add(tenant, ["a"])
    tenant.delete_examples("ants", ["a"])
    assert_holds(tenant, {})
    assert dict(tenant.collection("ants").labels) == {}


def test_codes_that_do_not_fit_are_never_stored(tenant: TenantStore) -> None:
    make_collection(tenant)
    add(tenant, ["a"])
    batch = batch_of(["b"])
    wrong = [
        {**batch.core, "one": np.zeros((2, 4), np.float16)},
        {**batch.core, "one": np.zeros((1, 5), np.float16)},
        {**batch.core, "one": np.zeros((1, 4), np.float64)},
        {"one": batch.core["one"]},
        {**batch.core, "more": batch.core["one"]},
    ]
    for core in wrong:
        with pytest.raises(ValueError, match="core"):
            tenant.add_examples(
                "ants",
                NewBatch(batch.examples, core),  # type: ignore[arg-type]
                on_duplicate=OnDuplicate.REFUSE,
            )
    assert_holds(tenant, {"a": ""})

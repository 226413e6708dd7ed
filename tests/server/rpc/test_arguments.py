"""Ids, pages and mutations as requests say them."""

import pytest

from icecore.server import errors
from icecore.server.rpc import arguments, calls, example_arguments
from icecore.server.tenants import Principal
from icecore.v1 import collection_pb2 as pb


@pytest.fixture(autouse=True)
def _call() -> None:
    calls.begin(calls.Call("r", "/icecore.v1.X/Y", Principal("t")))


@pytest.mark.parametrize("text", ["", "a/b", "a\0b", "..", "é", "a" * 129, "x" * 2**20, "-a", "a."])
def test_an_id_that_cannot_be_is_refused_in_a_short_sentence(text: str) -> None:
    with pytest.raises(errors.NameInvalid) as caught:
        arguments.named("probe", text)
    assert len(str(caught.value)) < 300


def test_an_examples_id_may_be_a_path_but_has_no_control_characters() -> None:
    assert arguments.example_id("ants/é 1.jpg") == "ants/é 1.jpg"
    for text in ("", "a\0", "a\n", "x" * 1025):
        with pytest.raises(errors.NameInvalid):
            arguments.example_id(text)


def test_versions_count_from_1() -> None:
    assert arguments.version(1) == 1
    for number in (0, 2**31):
        with pytest.raises(errors.InvalidArgument):
            arguments.version(number)


@pytest.mark.parametrize("last", ["a", "ants/é 1.jpg", "x" * 1024, "1:", "\U0001f9ca" * 1024])
def test_a_page_token_says_where_the_next_page_begins(last: str) -> None:
    assert arguments.page_start(arguments.page_token(last)) == last


@pytest.mark.parametrize("token", ["a", "YQ==", "é", "MTph\n", "MTph=", " MTph", "MTph" * 10**6])
def test_a_token_that_we_did_not_give_is_refused(token: str) -> None:
    assert arguments.page_token("a") == "MTph", "the examples here are made of the old format"
    with pytest.raises(errors.PageInvalid):
        arguments.page_start(token)


def test_a_page_has_its_default_and_its_most() -> None:
    assert arguments.page_start("") == ""
    assert arguments.page_size(0, default=100, most=1000) == 100
    assert arguments.page_size(1000, default=100, most=1000) == 1000
    with pytest.raises(errors.PageInvalid, match="1,001"):
        arguments.page_size(1001, default=100, most=1000)


def test_a_mutation_tells_a_retry_from_another_request() -> None:
    def made(collection_id: str) -> object:
        request = pb.CreateCollectionRequest(request_id="1", collection_id=collection_id)
        return arguments.mutation("1", request)

    assert made("a") == made("a")
    assert made("a") != made("b")


def test_the_fingerprint_does_not_depend_on_the_order_of_a_map() -> None:
    def made(keys: str) -> object:
        request = pb.AddExamplesRequest(request_id="1")
        request.examples.add().example.metadata.update(dict.fromkeys(keys, 1))
        return arguments.mutation("1", request)

    assert made("abcdefgh") == made("hgfedcba")


def test_without_an_id_a_mutation_is_not_exactly_once() -> None:
    assert arguments.mutation("", pb.CreateCollectionRequest()) is None
    for request_id in ("a b", "é", "x" * 129, "a\n"):
        with pytest.raises(errors.RequestIdInvalid):
            arguments.mutation(request_id, pb.CreateCollectionRequest())


def test_metadata_is_flat() -> None:
    message = pb.Example()
    message.metadata.update({"a": "x", "b": 2, "c": True})
    assert example_arguments.metadata(message.metadata, 0) == {"a": "x", "b": 2.0, "c": True}
    for value in (None, [1], {"d": 1}):
        message.metadata.update({"a": value})
        with pytest.raises(errors.MetadataInvalid, match="'a' of example 3"):
            example_arguments.metadata(message.metadata, 3)


def test_an_unknown_choice_lists_those_there_are() -> None:
    with pytest.raises(errors.InvalidArgument, match="ON_DUPLICATE_REPLACE \\(2\\)"):
        example_arguments.on_duplicate(9)  # type: ignore[arg-type]

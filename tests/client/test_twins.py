"""Client and AsyncClient are twins, cover the contract, and are light."""

import inspect
import subprocess
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path
from types import GenericAlias
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

import icecore.client as face
from fake_server import METHODS
from icecore.client import AsyncClient, Client, _operations
from icecore.client._channel import NOT_REPEATED, repeated_methods

FILLED_LATER = {
    "Explain",
    "ExportProbe",
    "Backup",
}
HEAVY = "onnxruntime onnx sklearn scipy faiss torch PIL matplotlib click rich sqlalchemy alembic"


def public(cls: type) -> dict[str, Any]:
    return {
        name: method
        for name, method in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
    }


def as_sync(hint: Any) -> Any:
    """The hint that the sync twin has for one of the async twin."""
    if get_origin(hint) is AsyncIterator:
        return GenericAlias(Iterator, get_args(hint))
    members = [member for member in get_args(hint) if get_origin(member) is not AsyncIterable]
    if any(get_origin(member) is Iterable for member in members):
        return Union[tuple(members)]  # noqa: UP007 - made from a list
    return hint


def test_the_twins_have_the_same_methods() -> None:
    assert set(public(Client)) == set(public(AsyncClient))


@pytest.mark.parametrize("name", [*public(Client), "__init__"])
def test_the_twins_take_and_give_the_same(name: str) -> None:
    sync, twin = getattr(Client, name), getattr(AsyncClient, name)
    here, there = inspect.signature(sync), inspect.signature(twin)
    assert list(here.parameters) == list(there.parameters)
    for parameter in here.parameters.values():
        assert parameter.default == there.parameters[parameter.name].default
        assert parameter.kind is there.parameters[parameter.name].kind
    hints = {key: as_sync(hint) for key, hint in get_type_hints(twin).items()}
    assert hints == get_type_hints(sync)
    assert sync.__doc__
    assert twin.__doc__ == ("As `Client`." if name == "__init__" else f"As `Client.{name}`.")


def test_every_call_takes_a_deadline() -> None:
    for name, method in public(Client).items():
        if name not in ("connect", "close"):
            assert "timeout_s" in inspect.signature(method).parameters, name


def test_every_rpc_that_exists_has_a_call(used_methods: set[str]) -> None:
    assert used_methods == {method.name for method in METHODS.values()} - FILLED_LATER


@pytest.fixture(scope="module")
def used_methods() -> set[str]:
    """Names of RPCs that the operations name, read from their source."""
    names = {method.name for method in METHODS.values()}
    folder = Path(str(_operations.__file__)).parent
    text = "\n".join(path.read_text() for path in folder.glob("*.py"))
    return {name for name in names if f'"{name}"' in text}


def test_only_what_happens_once_is_repeated() -> None:
    """All unary calls read, or carry a request id, but for the one that makes a secret."""
    repeated = {f"/{service}/{method}" for service, method in repeated_methods()}
    for path, method in METHODS.items():
        unary = not method.client_streaming and not method.server_streaming
        once = path in NOT_REPEATED
        assert (path in repeated) == (unary and not once)
        reads = method.name.startswith(
            ("List", "Get", "Embed", "Search", "Predict", "Compare", "Explain", "Advise")
        )
        if path in repeated and not reads:
            assert "request_id" in method.input_type.fields_by_name, path


def test_importing_the_client_pulls_in_nothing_heavy() -> None:
    program = (
        "import sys, icecore.client\n"
        f"heavy = set({HEAVY.split()!r}) & {{name.partition('.')[0] for name in sys.modules}}\n"
        "sys.exit(f'the light client pulls in {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_face_exports_what_it_lists() -> None:
    assert sorted(face.__all__, key=str) == sorted(set(face.__all__))
    for name in face.__all__:
        assert getattr(face, name) is not None

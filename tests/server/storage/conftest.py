"""Stores to test: each keeper of the promise gets the same tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import Store, TenantStore
from storing import put_backbone

KEEPERS: dict[str, Callable[[Path], Store]] = {"sqlite": open_sqlite}


@pytest.fixture(params=sorted(KEEPERS))
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Open the keeper's store; called again, close it and open the same data anew."""
    opened: list[Store] = []

    def open_again() -> Store:
        for store in opened:
            store.close()
        opened.append(KEEPERS[request.param](tmp_path / "data"))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Callable[[], Store]) -> Store:
    """An empty store with the toy backbone."""
    made = reopen()
    put_backbone(made)
    return made


@pytest.fixture
def tenant(store: Store) -> TenantStore:
    return store.tenant("default")


@pytest.fixture
def other(store: Store) -> TenantStore:
    """Another tenant of the same store."""
    store.create_tenant("other")
    return store.tenant("other")

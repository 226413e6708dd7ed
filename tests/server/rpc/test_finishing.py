"""What follows a change comes after it, also when the caller left in between."""

import asyncio
import threading
from typing import Any, cast

import pytest

from icecore.server.embedding.scheduling.allowances import Allowances
from icecore.server.rpc import calls
from icecore.server.rpc.finishing import finish, in_thread
from icecore.server.rpc.tenant_service import TenantService
from icecore.server.storage.promise import Store
from icecore.server.tenants import Principal
from icecore.v1 import tenant_pb2 as pb


async def test_who_leaves_goes_on_only_when_the_thread_has_ended() -> None:
    """What the thread works with may be closed after that, and is not before."""
    begun, hurry = threading.Event(), threading.Event()
    is_open = True
    seen = []

    def work() -> None:
        begun.set()
        assert hurry.wait(30)
        seen.append(is_open)

    async def call() -> None:
        nonlocal is_open
        try:
            await in_thread(work, when_left=hurry.set)
        finally:
            is_open = False

    caller = asyncio.create_task(call())
    assert await asyncio.to_thread(begun.wait, 30)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert seen == [True]
    assert await in_thread(lambda: 7) == 7
    with pytest.raises(ValueError, match="'x'"):
        await in_thread(lambda: int("x"))


async def test_a_change_goes_on_without_its_caller() -> None:
    may_end, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await may_end.wait()
        ended.set()

    caller = asyncio.create_task(finish(work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    may_end.set()
    await asyncio.wait_for(ended.wait(), 10)


async def test_an_answer_and_an_error_come_through() -> None:
    async def give(error: Exception | None) -> int:
        if error is not None:
            raise error
        return 7

    assert await finish(give(None)) == 7
    with pytest.raises(KeyError):
        await finish(give(KeyError("x")))


class SlowStore:
    """A store whose revocation waits."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.is_revoked = False

    def revoke_key(self, *arguments: Any, **keywords: Any) -> None:
        self.began.set()
        assert self.may_end.wait(10)
        self.is_revoked = True


async def test_keys_are_forgotten_after_the_revocation_and_not_before_it() -> None:
    """Else a key looked up in between stays valid for good."""
    store = SlowStore()
    forgotten: list[bool] = []
    told = asyncio.Event()

    def keys_changed() -> None:
        forgotten.append(store.is_revoked)
        told.set()

    async def forget(tenant_id: str) -> None: ...

    calls.begin(calls.Call("r", "/icecore.v1.TenantService/RevokeKey", Principal(None)))
    service = TenantService(
        cast(Store, store), Allowances(), keys_changed=keys_changed, forget=forget
    )
    request = pb.RevokeKeyRequest(tenant_id="t", key_id="k")
    call = asyncio.create_task(service.RevokeKey(request, None))
    await asyncio.to_thread(store.began.wait, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert forgotten == []
    store.may_end.set()
    await asyncio.wait_for(told.wait(), 10)
    assert forgotten == [True]

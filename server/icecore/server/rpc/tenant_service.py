"""TenantService: tenants, their keys and their quotas, for administrators; usage for all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import TypeVar

from icecore.server.embedding.scheduling.allowances import Allowances
from icecore.server.errors import AdminRequired, TenantNotFound, Unimplemented
from icecore.server.quotas import Quota, Stored
from icecore.server.rpc import answers, arguments, quota_messages
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.finishing import finish
from icecore.server.storage.promise import Store
from icecore.server.tenants import new_secret
from icecore.v1 import tenant_pb2 as pb
from icecore.v1 import tenant_pb2_grpc

T = TypeVar("T")


class TenantService(tenant_pb2_grpc.TenantServiceServicer):
    """The door lets only administrators in here, but for GetUsage.

    `keys_changed` is called after keys were made or revoked, and `forget` with a
    tenant whose data is gone. `allowances` hold tenants to what is set here.
    """

    def __init__(
        self,
        store: Store,
        allowances: Allowances,
        *,
        keys_changed: Callable[[], None],
        forget: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._allowances = allowances
        self._following = asyncio.Lock()
        self._keys_changed = keys_changed
        self._forget = forget

    async def CreateTenant(
        self, request: pb.CreateTenantRequest, context: object
    ) -> pb.CreateTenantResponse:
        record = await asyncio.to_thread(
            self._store.create_tenant,
            arguments.named("tenant", request.tenant_id),
            mutation=arguments.mutation(request.request_id, request),
        )
        return pb.CreateTenantResponse(tenant=answers.tenant(record))

    async def ListTenants(
        self, request: pb.ListTenantsRequest, context: object
    ) -> pb.ListTenantsResponse:
        size = arguments.page_size(request.page_size, default=100, most=1000)
        found = await asyncio.to_thread(
            self._store.tenants, after=arguments.page_start(request.page_token), limit=size + 1
        )
        page = found[:size]
        return pb.ListTenantsResponse(
            tenants=[answers.tenant(record) for record in page],
            next_page_token=(arguments.page_token(page[-1].tenant_id) if len(found) > size else ""),
        )

    async def DeleteTenant(
        self, request: pb.DeleteTenantRequest, context: object
    ) -> pb.DeleteTenantResponse:
        tenant_id = arguments.named("tenant", request.tenant_id)
        mutation = arguments.mutation(request.request_id, request)

        async def delete() -> None:
            await self._change_keys(
                partial(self._store.delete_tenant, tenant_id, mutation=mutation)
            )
            self._allowances.forget(tenant_id)
            await self._follow_quota(tenant_id)
            await self._forget(tenant_id)

        await finish(delete())
        return pb.DeleteTenantResponse()

    async def CreateKey(
        self, request: pb.CreateKeyRequest, context: object
    ) -> pb.CreateKeyResponse:
        secret = new_secret()
        tenant_id = arguments.named("tenant", request.tenant_id)
        label = arguments.free_text(
            "key's label",
            request.label,
            max_length=arguments.MAX_KEY_LABEL_LENGTH,
            may_be_empty=True,
        )
        create = partial(
            self._store.create_key, secret.key_id, secret.hash, tenant_id=tenant_id, label=label
        )
        record = await finish(self._change_keys(create))
        return pb.CreateKeyResponse(key=answers.key(record), secret=secret.text)

    async def ListKeys(self, request: pb.ListKeysRequest, context: object) -> pb.ListKeysResponse:
        tenant_id = arguments.named("tenant", request.tenant_id)
        found = await asyncio.to_thread(self._store.keys, tenant_id)
        return pb.ListKeysResponse(keys=[answers.key(record) for record in found])

    async def RevokeKey(
        self, request: pb.RevokeKeyRequest, context: object
    ) -> pb.RevokeKeyResponse:
        revoke = partial(
            self._store.revoke_key,
            arguments.named("tenant", request.tenant_id),
            arguments.named("key", request.key_id),
            mutation=arguments.mutation(request.request_id, request),
        )
        await finish(self._change_keys(revoke))
        return pb.RevokeKeyResponse()

    async def SetQuota(self, request: pb.SetQuotaRequest, context: object) -> pb.SetQuotaResponse:
        tenant_id = arguments.named("tenant", request.tenant_id)
        quota = quota_messages.quota(request.quota)
        mutation = arguments.mutation(request.request_id, request)
        put = partial(self._store.set_quota, tenant_id, quota, mutation=mutation)

        async def change() -> Quota:
            answer = await asyncio.to_thread(put)
            await self._follow_quota(tenant_id)
            return answer

        answer = await finish(change())
        return pb.SetQuotaResponse(quota=quota_messages.quota_message(answer))

    async def GetUsage(self, request: pb.GetUsageRequest, context: object) -> pb.GetUsageResponse:
        caller = current_call().principal
        tenant_id = request.tenant_id
        if caller is not None and caller.tenant_id is not None:
            # Whether another tenant exists is none of its business.
            if tenant_id not in ("", caller.tenant_id):
                raise AdminRequired(
                    f"tenant {caller.tenant_id!r} may see its own usage alone: that of others "
                    "takes the administrator's key"
                )
            tenant_id = caller.tenant_id
        tenant_id = arguments.named("tenant", tenant_id)
        stored, quota = await asyncio.to_thread(self._stored, tenant_id)
        return quota_messages.usage(
            tenant_id, quota, stored, self._allowances.used(tenant_id), self._allowances.since
        )

    async def Backup(
        self, request: pb.BackupRequest, context: object
    ) -> AsyncIterator[pb.BackupResponse]:
        for chunk in _no_backup():
            yield chunk

    def _stored(self, tenant_id: str) -> tuple[Stored, Quota]:
        return self._store.tenant(tenant_id).stored(), self._store.quota(tenant_id)

    async def _follow_quota(self, tenant_id: str) -> None:
        """Let what the store says now hold, after a change of it.

        One at a time: the last look is then after the last change, whatever their order.
        An answer that a retry is given again says what held then, not now.
        """
        async with self._following:
            try:
                quota = await asyncio.to_thread(self._store.quota, tenant_id)
            except TenantNotFound:
                self._allowances.forget(tenant_id)
            else:
                self._allowances.set(tenant_id, quota)

    async def _change_keys(self, change: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(change)
        finally:
            self._keys_changed()


def _no_backup() -> Iterator[pb.BackupResponse]:
    raise Unimplemented(
        "this server makes no backups by call yet: stop it and copy its data folder"
    )

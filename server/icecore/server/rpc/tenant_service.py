"""TenantService: tenants and their keys, for administrators."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import TypeVar

from icecore.server.errors import Unimplemented
from icecore.server.rpc import answers, arguments
from icecore.server.rpc.finishing import finish
from icecore.server.storage.promise import Store
from icecore.server.tenants import new_secret
from icecore.v1 import tenant_pb2 as pb
from icecore.v1 import tenant_pb2_grpc

T = TypeVar("T")


class TenantService(tenant_pb2_grpc.TenantServiceServicer):
    """The door lets only administrators in here.

    `keys_changed` is called after keys were made or revoked, and `forget` with a
    tenant whose data is gone.
    """

    def __init__(
        self,
        store: Store,
        *,
        keys_changed: Callable[[], None],
        forget: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
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
        raise Unimplemented("this server sets no quotas yet")

    async def GetUsage(self, request: pb.GetUsageRequest, context: object) -> pb.GetUsageResponse:
        raise Unimplemented("this server does not count usage yet")

    async def Backup(
        self, request: pb.BackupRequest, context: object
    ) -> AsyncIterator[pb.BackupResponse]:
        for chunk in _no_backup():
            yield chunk

    async def _change_keys(self, change: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(change)
        finally:
            self._keys_changed()


def _no_backup() -> Iterator[pb.BackupResponse]:
    raise Unimplemented(
        "this server makes no backups by call yet: stop it and copy its data folder"
    )

"""AsyncClient's calls about tenants, keys and quotas; but for `usage`, for administrators."""

from icecore.client._async.calls import AsyncCalls
from icecore.client._operations import tenant as operations
from icecore.client.quota_values import Quota, Usage
from icecore.client.tenant_values import Key, NewKey, Tenant


class AsyncTenantCalls(AsyncCalls):
    async def create_tenant(
        self, tenant_id: str, *, request_id: str | None = None, timeout_s: float | None = None
    ) -> Tenant:
        """As `Client.create_tenant`."""
        operation = operations.create_tenant(tenant_id, request_id=request_id)
        return await self._transport.unary(operation, timeout_s)

    async def tenants(self, *, timeout_s: float | None = None) -> list[Tenant]:
        """As `Client.tenants`."""
        return [item async for item in self._transport.pages(operations.tenants, timeout_s)]

    async def delete_tenant(
        self, tenant_id: str, *, request_id: str | None = None, timeout_s: float | None = None
    ) -> None:
        """As `Client.delete_tenant`."""
        operation = operations.delete_tenant(tenant_id, request_id=request_id)
        await self._transport.unary(operation, timeout_s)

    async def create_key(
        self, tenant_id: str, *, label: str = "", timeout_s: float | None = None
    ) -> NewKey:
        """As `Client.create_key`."""
        return await self._transport.unary(operations.create_key(tenant_id, label=label), timeout_s)

    async def keys(self, tenant_id: str, *, timeout_s: float | None = None) -> list[Key]:
        """As `Client.keys`."""
        return await self._transport.unary(operations.keys(tenant_id), timeout_s)

    async def revoke_key(
        self,
        tenant_id: str,
        key_id: str,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """As `Client.revoke_key`."""
        operation = operations.revoke_key(tenant_id, key_id, request_id=request_id)
        await self._transport.unary(operation, timeout_s)

    async def set_quota(
        self,
        tenant_id: str,
        quota: Quota,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Quota:
        """As `Client.set_quota`."""
        operation = operations.set_quota(tenant_id, quota, request_id=request_id)
        return await self._transport.unary(operation, timeout_s)

    async def usage(self, tenant_id: str = "", *, timeout_s: float | None = None) -> Usage:
        """As `Client.usage`."""
        return await self._transport.unary(operations.usage(tenant_id), timeout_s)

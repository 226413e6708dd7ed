"""Client's calls about tenants, keys and quotas; but for `usage`, for administrators."""

from icecore.client._operations import tenant as operations
from icecore.client._sync.calls import Calls
from icecore.client.quota_values import Quota, Usage
from icecore.client.tenant_values import Key, NewKey, Tenant


class TenantCalls(Calls):
    def create_tenant(
        self, tenant_id: str, *, request_id: str | None = None, timeout_s: float | None = None
    ) -> Tenant:
        """Return a new tenant, without keys.

        Raises:
            AlreadyExists: there is one of this id.
            PermissionDenied: this client's key is not the administrator's.
        """
        operation = operations.create_tenant(tenant_id, request_id=request_id)
        return self._transport.unary(operation, timeout_s)

    def tenants(self, *, timeout_s: float | None = None) -> list[Tenant]:
        """Return all tenants, by id. `timeout_s` bounds each page."""
        return list(self._transport.pages(operations.tenants, timeout_s))

    def delete_tenant(
        self, tenant_id: str, *, request_id: str | None = None, timeout_s: float | None = None
    ) -> None:
        """Delete a tenant with all its keys, collections and probes, really."""
        operation = operations.delete_tenant(tenant_id, request_id=request_id)
        self._transport.unary(operation, timeout_s)

    def create_key(
        self, tenant_id: str, *, label: str = "", timeout_s: float | None = None
    ) -> NewKey:
        """Return a new key with its secret, which is shown this once.

        Not exactly-once, so never repeated by itself: after `Unavailable` or
        `DeadlineExceeded` a key may be there whose secret nobody knows; `keys`
        shows it and `revoke_key` takes it away.
        """
        return self._transport.unary(operations.create_key(tenant_id, label=label), timeout_s)

    def keys(self, tenant_id: str, *, timeout_s: float | None = None) -> list[Key]:
        """Return a tenant's keys, without their secrets."""
        return self._transport.unary(operations.keys(tenant_id), timeout_s)

    def revoke_key(
        self,
        tenant_id: str,
        key_id: str,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Take a key away; calls with it are refused from now on."""
        operation = operations.revoke_key(tenant_id, key_id, request_id=request_id)
        self._transport.unary(operation, timeout_s)

    def set_quota(
        self,
        tenant_id: str,
        quota: Quota,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Quota:
        """Replace what a tenant may use, whole, and return it.

        It holds from the next call on, and from a running stream's next message. What is in
        the store stays, also where it is more than the new quota.

        Raises:
            InvalidArgument: a number cannot be one; the sentence says which (QUOTA_INVALID).
            NotFound: there is no such tenant.
        """
        operation = operations.set_quota(tenant_id, quota, request_id=request_id)
        return self._transport.unary(operation, timeout_s)

    def usage(self, tenant_id: str = "", *, timeout_s: float | None = None) -> Usage:
        """Return what a tenant uses and may use; without an id, of this client's own tenant.

        Raises:
            PermissionDenied: another's, without the administrator's key.
        """
        return self._transport.unary(operations.usage(tenant_id), timeout_s)

"""Operations of TenantService, for administrators."""

from icecore.client._operations.operation import (
    Operation,
    Page,
    nothing,
    request_id_or_new,
    time_of,
)
from icecore.client.values import Key, NewKey, Tenant
from icecore.v1 import tenant_pb2 as pb

SERVICE = "TenantService"


def create_tenant(tenant_id: str, *, request_id: str | None) -> Operation[Tenant]:
    return Operation(
        SERVICE,
        "CreateTenant",
        pb.CreateTenantRequest(request_id=request_id_or_new(request_id), tenant_id=tenant_id),
        pb.CreateTenantResponse,
        lambda answer: tenant_value(answer.tenant),
    )


def tenants(page_token: str) -> Operation[Page[Tenant]]:
    return Operation(
        SERVICE,
        "ListTenants",
        pb.ListTenantsRequest(page_token=page_token),
        pb.ListTenantsResponse,
        lambda answer: Page(
            [tenant_value(message) for message in answer.tenants], answer.next_page_token
        ),
    )


def delete_tenant(tenant_id: str, *, request_id: str | None) -> Operation[None]:
    return Operation(
        SERVICE,
        "DeleteTenant",
        pb.DeleteTenantRequest(request_id=request_id_or_new(request_id), tenant_id=tenant_id),
        pb.DeleteTenantResponse,
        nothing,
    )


def create_key(tenant_id: str, *, label: str) -> Operation[NewKey]:
    return Operation(
        SERVICE,
        "CreateKey",
        pb.CreateKeyRequest(tenant_id=tenant_id, label=label),
        pb.CreateKeyResponse,
        lambda answer: NewKey(key_value(answer.key), answer.secret),
    )


def keys(tenant_id: str) -> Operation[list[Key]]:
    return Operation(
        SERVICE,
        "ListKeys",
        pb.ListKeysRequest(tenant_id=tenant_id),
        pb.ListKeysResponse,
        lambda answer: [key_value(message) for message in answer.keys],
    )


def revoke_key(tenant_id: str, key_id: str, *, request_id: str | None) -> Operation[None]:
    return Operation(
        SERVICE,
        "RevokeKey",
        pb.RevokeKeyRequest(
            request_id=request_id_or_new(request_id), tenant_id=tenant_id, key_id=key_id
        ),
        pb.RevokeKeyResponse,
        nothing,
    )


def tenant_value(message: pb.Tenant) -> Tenant:
    return Tenant(message.tenant_id, time_of(message.create_time))


def key_value(message: pb.Key) -> Key:
    return Key(message.key_id, message.tenant_id, message.label, time_of(message.create_time))

"""Operations of TenantService: for administrators, but for a tenant's own usage."""

from dataclasses import asdict

from icecore.client._operations.operation import (
    Operation,
    Page,
    nothing,
    request_id_or_new,
    time_of,
)
from icecore.client.errors import InvalidArgument
from icecore.client.quota_values import Quota, Usage
from icecore.client.tenant_values import Key, NewKey, Tenant
from icecore.v1 import tenant_pb2 as pb
from icecore.wire.reasons import Reason

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


def set_quota(tenant_id: str, quota: Quota, *, request_id: str | None) -> Operation[Quota]:
    """Raises InvalidArgument: a number is negative, or more than a message holds."""
    try:
        message = pb.Quota(**asdict(quota))
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"{quota!r} is none: {error}", reason=Reason.QUOTA_INVALID) from error
    return Operation(
        SERVICE,
        "SetQuota",
        pb.SetQuotaRequest(
            request_id=request_id_or_new(request_id), tenant_id=tenant_id, quota=message
        ),
        pb.SetQuotaResponse,
        lambda answer: quota_value(answer.quota),
    )


def usage(tenant_id: str) -> Operation[Usage]:
    return Operation(
        SERVICE,
        "GetUsage",
        pb.GetUsageRequest(tenant_id=tenant_id),
        pb.GetUsageResponse,
        usage_value,
    )


def quota_value(message: pb.Quota) -> Quota:
    return Quota(
        images_per_second=message.images_per_second,
        burst_images=message.burst_images,
        max_images_in_flight=message.max_images_in_flight,
        storage_bytes=message.storage_bytes,
        weight=message.weight,
    )


def usage_value(message: pb.GetUsageResponse) -> Usage:
    return Usage(
        tenant_id=message.tenant_id,
        quota=quota_value(message.quota),
        storage_bytes=message.storage_bytes,
        n_collections=message.n_collections,
        n_examples=message.n_examples,
        n_probes=message.n_probes,
        since=time_of(message.since),
        n_images=message.n_images,
        n_cached_images=message.n_cached_images,
        n_rejected_images=message.n_rejected_images,
        cpu_seconds=message.cpu_seconds,
        n_images_in_flight=message.n_images_in_flight,
    )


def tenant_value(message: pb.Tenant) -> Tenant:
    return Tenant(message.tenant_id, time_of(message.create_time))


def key_value(message: pb.Key) -> Key:
    return Key(message.key_id, message.tenant_id, message.label, time_of(message.create_time))

"""Quotas and usage as messages say them, and as values."""

from datetime import datetime

from icecore.server.quotas import Quota, Stored, Used
from icecore.server.rpc import answers
from icecore.v1 import tenant_pb2 as pb


def quota(message: pb.Quota) -> Quota:
    """Return what the message says; weight 0 is 1.

    Raises:
        QuotaInvalid: a number is not finite, negative or out of its range.
    """
    return Quota(
        images_per_second=message.images_per_second,
        burst_images=message.burst_images,
        max_images_in_flight=message.max_images_in_flight,
        storage_bytes=message.storage_bytes,
        weight=message.weight or 1.0,
    )


def quota_message(value: Quota) -> pb.Quota:
    return pb.Quota(
        images_per_second=value.images_per_second,
        burst_images=value.burst_images,
        max_images_in_flight=value.max_images_in_flight,
        storage_bytes=value.storage_bytes,
        weight=value.weight,
    )


def usage(
    tenant_id: str, limits: Quota, stored: Stored, used: Used, since: datetime
) -> pb.GetUsageResponse:
    return pb.GetUsageResponse(
        tenant_id=tenant_id,
        quota=quota_message(limits),
        storage_bytes=stored.n_bytes,
        n_collections=stored.n_collections,
        n_examples=stored.n_examples,
        n_probes=stored.n_probes,
        since=answers.time(since),
        n_images=used.n_images,
        n_cached_images=used.n_cached_images,
        n_rejected_images=used.n_rejected_images,
        cpu_seconds=used.cpu_s,
        n_images_in_flight=used.n_images_in_flight,
    )

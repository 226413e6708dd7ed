"""Operations of ProbeService on probes and their versions, trained already."""

from icecore.client._operations.operation import Operation, Page, nothing, request_id_or_new
from icecore.client._operations.probe_answers import comparison_value, probe_value
from icecore.client.accuracy_values import Comparison
from icecore.client.errors import InvalidArgument
from icecore.client.probe_values import Probe
from icecore.v1 import probe_pb2 as pb

SERVICE = "ProbeService"


def probe(probe_id: str) -> Operation[Probe]:
    return Operation(
        SERVICE,
        "GetProbe",
        pb.GetProbeRequest(probe_id=probe_id),
        pb.GetProbeResponse,
        lambda answer: probe_value(answer.probe),
    )


def probes(page_token: str) -> Operation[Page[Probe]]:
    return Operation(
        SERVICE,
        "ListProbes",
        pb.ListProbesRequest(page_token=page_token),
        pb.ListProbesResponse,
        lambda answer: Page(
            [probe_value(message) for message in answer.probes], answer.next_page_token
        ),
    )


def promote_version(
    probe_id: str,
    version: int,
    *,
    expected_version: int | None,
    not_worse_by: float | None,
    request_id: str | None,
) -> Operation[Probe]:
    request = pb.PromoteVersionRequest(
        request_id=request_id_or_new(request_id),
        probe_id=probe_id,
        version=version_number(version),
        not_worse_by=not_worse_by,
    )
    if expected_version is not None:
        request.expected_version = version_number(expected_version)
    return Operation(
        SERVICE,
        "PromoteVersion",
        request,
        pb.PromoteVersionResponse,
        lambda answer: probe_value(answer.probe),
    )


def compare_versions(
    probe_id: str, version_a: int, version_b: int, *, collection_id: str
) -> Operation[Comparison]:
    return Operation(
        SERVICE,
        "CompareVersions",
        pb.CompareVersionsRequest(
            probe_id=probe_id,
            version_a=version_number(version_a),
            version_b=version_number(version_b),
            collection_id=collection_id,
        ),
        pb.CompareVersionsResponse,
        comparison_value,
    )


def delete_version(probe_id: str, version: int, *, request_id: str | None) -> Operation[None]:
    return Operation(
        SERVICE,
        "DeleteVersion",
        pb.DeleteVersionRequest(
            request_id=request_id_or_new(request_id),
            probe_id=probe_id,
            version=version_number(version),
        ),
        pb.DeleteVersionResponse,
        nothing,
    )


def delete_probe(probe_id: str, *, request_id: str | None) -> Operation[None]:
    return Operation(
        SERVICE,
        "DeleteProbe",
        pb.DeleteProbeRequest(request_id=request_id_or_new(request_id), probe_id=probe_id),
        pb.DeleteProbeResponse,
        nothing,
    )


def version_number(version: int) -> int:
    """Return the number as it is sent; 0 is the newest, or none. Raises InvalidArgument."""
    if not 0 <= version < 1 << 32:
        raise InvalidArgument(f"version is {version!r}, but versions count from 1")
    return version

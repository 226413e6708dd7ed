"""Quotas and usage as both clients and the command line have them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_runs import Icecore
from driven import TWINS, opened
from icecore.client import (
    Client,
    NotFound,
    PermissionDenied,
    Quota,
    ResourceExhausted,
)
from servers import Server, serving

both = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("client quotas") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def acme(server: Server) -> str:
    """A tenant's key."""
    with Client(server.address, key=server.admin_key) as admin:
        admin.create_tenant("acme")
        return admin.create_key("acme").secret


@both
def test_a_quota_holds_and_usage_says_so(twin: Any, server: Server, acme: str) -> None:
    with (
        opened(twin, server.address, key=server.admin_key) as admin,
        opened(twin, server.address, key=acme) as tenant,
    ):
        quota = Quota(max_images_in_flight=2, weight=2.0)
        assert admin.set_quota("acme", quota, request_id=twin.__name__) == quota
        before = tenant.usage()
        assert before == admin.usage("acme")
        assert (before.tenant_id, before.quota) == ("acme", quota)
        tenant.embed([IMAGE, IMAGE])
        with pytest.raises(ResourceExhausted, match="never") as caught:
            tenant.embed([IMAGE] * 3)
        assert caught.value.reason == "IMAGES_IN_FLIGHT_EXCEEDED"
        after = tenant.usage()
        assert after.n_images == before.n_images + 2
        assert after.n_rejected_images == before.n_rejected_images + 3
        with pytest.raises(PermissionDenied):
            tenant.usage("default")
        with pytest.raises(PermissionDenied):
            tenant.set_quota("acme", Quota())
        with pytest.raises(NotFound):
            admin.set_quota("nobody", quota)
        assert admin.set_quota("acme", Quota()) == Quota()


def test_the_command_line_shows_and_changes_them(
    server: Server, acme: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    icecore = Icecore(capsys, "--data", str(server.data))
    assert icecore.done("tenants", "quota", "acme").out.count("no limit") == 3
    shown = icecore.done(
        *("tenants", "quota", "acme", "--storage", "10GB", "--images-per-second", "12.5"),
        *("--burst", "1000", "--json"),
    ).json
    assert shown == {
        "tenant": "acme",
        "images_per_second": 12.5,
        "burst_images": 1000,
        "max_images_in_flight": 0,
        "storage_bytes": 10**10,
        "weight": 1.0,
    }
    said = icecore.done("tenants", "quota", "acme", "--weight", "2", "--storage", "0").lines
    assert [" ".join(line.split()) for line in said] == [
        "quota of 'acme'",
        "images a second 12.5 (burst 1,000)",
        "images in flight no limit",
        "storage no limit",
        "weight 2",
    ]
    assert "weight" in icecore.refused("tenants", "quota", "acme", "--weight", "1e9")
    assert "10GB" in icecore.refused("tenants", "quota", "acme", "--storage", "many")
    assert "'nobody'" in icecore.refused("tenants", "quota", "nobody")
    assert icecore.done("tenants", "quota", "acme", "--no-limits").out.count("no limit") == 3

    [first, second] = icecore.done("tenants", "usage", "--json").json
    assert (first["tenant"], second["tenant"]) == ("acme", "default")
    assert {"n_images", "n_rejected_images", "storage_bytes", "cpu_seconds", "since"} <= set(first)
    assert first["quota"]["weight"] == 1.0
    icecore.done("tenants", "quota", "acme", "--in-flight", "1")
    with (
        Client(server.address, key=acme) as tenant,
        pytest.raises(ResourceExhausted, match="never"),
    ):
        tenant.embed([IMAGE] * 2)
    icecore.done("tenants", "quota", "acme", "--no-limits")
    said_of_all = icecore.done("tenants", "usage")
    assert len(said_of_all.lines) == 3
    assert "'rejected' counts images refused by a quota or a full server" in said_of_all.err
    assert "rejected" not in icecore.done("tenants", "usage", "default").err
    [own] = (
        Icecore(capsys, "--server", server.address, "--key", acme)
        .done(*("tenants", "usage", "--json"))
        .json
    )
    assert own["tenant"] == "acme"
    refused = Icecore(capsys, "--server", server.address, "--key", acme)
    assert "its own usage" in refused.refused("tenants", "usage", "default")
    assert "administrator" in refused.refused("tenants", "quota", "acme", "--weight", "9")

"""While hostile files are refused, neither other callers nor the server's memory notice.

`bench/hostile_models.py` is the long form, with all files and figures.
"""

from collections.abc import Iterator
from statistics import median
from typing import Any

import grpc
import pytest

from adding import add_backbone, messages
from beside import are_gone, embed_ms, embedding, forget_peak, peak_mb
from callers import Caller, calling, refusal
from hostile_graphs import HOSTILE, SLOW
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.storage.opening import open_sqlite
from icecore.v1 import backbone_pb2 as bpb
from servers import Server, process
from toy_store import put_toy_backbone

FILES = (
    "150 bytes that ask for 4 GB",
    "a million values",
    "functions that grow tenfold",
    "weights in /etc/passwd",
    "size by pixels",
    "shapes that double",
    "loop without end",
    "a scale that is no number",
)
N_IDLE = 40

MORE_MB = 50.0
"""What the server may grow by: the files' own megabytes, and what it takes to receive them."""

SLOWER = 3.0
"""A generous bound on a shared machine; the bench has the figures."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("hostile") / "data"
    store = open_sqlite(data)
    put_toy_backbone(store, name=efficientnet_lite0.NAME)  # the real one takes a while to build
    store.close()
    with process(data) as server:
        yield server


@pytest.fixture
def admin(server: Server) -> Iterator[Caller]:
    with calling(server.address, server.admin_key) as caller:
        yield caller


@pytest.fixture
def tenant(server: Server) -> Iterator[Caller]:
    with calling(server.address) as caller:
        yield caller


def pid_of(server: Server) -> int:
    assert server.child is not None
    return server.child.pid


def test_others_and_the_server_do_not_notice(server: Server, admin: Caller, tenant: Caller) -> None:
    embed_ms(tenant, n=N_IDLE)
    before = forget_peak(pid_of(server))
    alone: list[float] = []
    beside: list[float] = []
    for name in FILES:
        data = HOSTILE[name].make()
        alone += embed_ms(tenant, n=N_IDLE)
        with embedding(tenant) as took:
            said = refusal(lambda data=data: add_backbone(admin, "hostile", data))  # type: ignore[misc]
        beside += took
        assert said.code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), f"{name}: {said}"
        assert said.reason in {str(error.reason) for error in HOSTILE[name].errors}
        assert HOSTILE[name].says in said.message
    grown = peak_mb(pid_of(server)) - before
    print(f"alone {median(alone):.2f} ms, beside {median(beside):.2f} ms, grown {grown:.1f} MB")
    assert grown < MORE_MB
    assert median(beside) < SLOWER * median(alone)
    listed = tenant.backbones.ListBackbones(bpb.ListBackbonesRequest()).backbones
    assert [one.name for one in listed] == [efficientnet_lite0.NAME]


def test_a_caller_who_leaves_takes_the_process_along(server: Server, admin: Caller) -> None:
    """A file that would be looked at for minutes is given up at the caller's deadline."""
    data = SLOW.make()
    with pytest.raises(grpc.RpcError) as caught:
        admin.backbones.AddBackbone(messages("slow", data), timeout=3.0)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert are_gone(pid_of(server), within_s=60.0), "the inspector is still at work"

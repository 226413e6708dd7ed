"""A collection deleted and made again, over and over, while others search it.

Each time it is over another backbone with layers of the same names. Whatever a
search answers has to be of one tenant, of one making that was there while the
search ran, with whole batches, and at a tap of that making's backbone.
"""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from callers import Caller, calling, pixels, refusal_of
from icecore.server.backbones.backbone import Backbone
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import tenant_pb2 as tpb
from servers import ToyCatalog, serving
from toy_store import put_toy_backbone
from toys import toy_backbone

MAKINGS = 12
IN_BATCH = 3
TENANTS = ("ours", "theirs")
NAMES = ("toy", "another")
DIGESTS = tuple(toy_backbone(seed).digest for seed in (0, 1))


class TwoToys(ToyCatalog):
    """Has a second backbone, with the same layers and other weights."""

    def ensure_default(self) -> Backbone:
        put_toy_backbone(self._toy_store, seed=1, name="another")
        return super().ensure_default()


class Life:
    """A tenant's collection: which makings may be there at this time."""

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self.n_begun = 0
        self.n_ended = 0
        self.is_over = threading.Event()

    def live(self, caller: Caller) -> None:
        try:
            for making in range(1, MAKINGS + 1):
                self.n_begun = making
                create = cpb.CreateCollectionRequest(collection_id="c", backbone=NAMES[making % 2])
                caller.collections.CreateCollection(create)
                batches = [self._batch(making, number) for number in range(3)]
                list(caller.collections.AddExamples(iter(batches)))
                ids = [one.example.example_id for one in batches[0].examples]
                caller.collections.DeleteExamples(
                    cpb.DeleteExamplesRequest(collection_id="c", example_ids=ids)
                )
                caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id="c"))
                self.n_ended = making
        finally:
            self.is_over.set()

    def _batch(self, making: int, number: int) -> cpb.AddExamplesRequest:
        request = cpb.AddExamplesRequest(collection_id="c")
        for place in range(IN_BATCH):
            example_id = f"{self.tenant_id}/{making}/{number}/{place}"
            request.examples.add(
                example=cpb.Example(example_id=example_id), image=pixels(100 * number + place)
            )
        return request

    def search(self, caller: Caller) -> int:
        """Search until it is over; how often something was found."""
        request = cpb.SearchRequest(collection_id="c", k=100, layer="1")
        request.images.images.append(pixels(7))
        n_found = 0
        while not self.is_over.is_set():
            n_ended = self.n_ended
            try:
                answer = caller.collections.Search(request)
            except grpc.RpcError as error:
                said = refusal_of(error)
                assert said.reason == "COLLECTION_NOT_FOUND", said
                continue
            n_begun = self.n_begun
            hits = [hit.example.example_id.split("/") for hit in answer.results[0].hits]
            if hits:
                assert {hit[0] for hit in hits} == {self.tenant_id}
                (making,) = {int(hit[1]) for hit in hits}
                assert n_ended < making <= n_begun
                assert set(Counter(hit[2] for hit in hits).values()) == {IN_BATCH}
                assert answer.tap.digest == DIGESTS[making % 2]
                n_found += 1
        return n_found


def test_a_search_never_answers_from_another_making_or_tenant(tmp_path: Path) -> None:
    with serving(tmp_path / "data", catalog=TwoToys) as server:
        keys = {}
        with calling(server.address, server.admin_key) as admin:
            for tenant_id in TENANTS:
                admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id=tenant_id))
                made = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id=tenant_id))
                keys[tenant_id] = made.secret
        with calling(server.address) as caller, ThreadPoolExecutor(8) as threads:
            lives, searches = [], []
            for tenant_id in TENANTS:
                life, tenant = Life(tenant_id), caller.with_key(keys[tenant_id])
                searches += [threads.submit(life.search, tenant) for _ in range(2)]
                lives.append(threads.submit(life.live, tenant))
            for living in lives:
                living.result()
            n_found = [search.result() for search in searches]
    assert any(n_found), "nothing was ever there to be found"

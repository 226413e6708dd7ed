"""TrainProbe's fields to what is asked: what goes together and what does not."""

import pytest

from icecore.server.errors import InvalidArgument
from icecore.server.rpc.training_asked import train_request
from icecore.v1 import probe_pb2 as pb
from icecore.v1.common_pb2 import POOLING_KIND_MAX, Pooling
from icecore.wire.taps import AVG, PoolingKind


def asked(*, pooling: Pooling | None = None, choose_pooling: bool = False) -> pb.TrainProbeRequest:
    return pb.TrainProbeRequest(
        probe_id="ants", collection_id="insects", pooling=pooling, choose_pooling=choose_pooling
    )


@pytest.mark.parametrize("pooling", [Pooling(), Pooling(kind=POOLING_KIND_MAX)])
def test_a_pooling_is_given_or_chosen_but_not_both(pooling: Pooling) -> None:
    with pytest.raises(InvalidArgument) as refused:
        train_request(asked(pooling=pooling, choose_pooling=True))
    assert str(refused.value) == "pooling is given and also to be chosen: leave one out"


def test_a_pooling_by_itself_is_taken_and_so_is_its_choice() -> None:
    given = train_request(asked(pooling=Pooling(kind=POOLING_KIND_MAX)))
    assert (given.pooling.kind, given.choose_pooling) == (PoolingKind.MAX, False)
    chosen = train_request(asked(choose_pooling=True))
    assert (chosen.pooling, chosen.choose_pooling) == (AVG, True)
    plain = train_request(asked())
    assert (plain.pooling, plain.choose_pooling) == (AVG, False)


def test_what_is_gone_on_from_has_its_pooling() -> None:
    with pytest.raises(InvalidArgument, match=r"leave out layers, choose_pooling, or base_version"):
        train_request(
            pb.TrainProbeRequest(
                probe_id="ants",
                collection_id="insects",
                base_version=1,
                layers=["all"],
                choose_pooling=True,
            )
        )

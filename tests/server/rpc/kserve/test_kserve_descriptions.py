"""What a probe's configuration says of what it reads."""

import json
from collections.abc import Sequence

from icecore.kserve import open_inference as pb
from icecore.server.rpc.kserve.descriptions import config
from icecore.server.rpc.kserve.models import Model, ProbeVersion
from icecore.server.training.facts import VersionFacts
from icecore.server.training.trials import Accuracy
from icecore.wire.taps import TapId
from toys import toy_backbone

BACKBONE = toy_backbone()


def configured(taps: Sequence[TapId]) -> pb.ModelConfig:
    facts = VersionFacts(
        taps=tuple(taps),
        C=0.1,
        classes=("ant", "bee"),
        accuracy=Accuracy(0.9, 0.8, 1.0),
        naive=0.9,
        trials=(),
        objective=1.0,
        gap=0.0,
        seed=0,
        data_digest="1" * 64,
        n_images=20,
    )
    model = Model("probe.ants", 1, (1,), BACKBONE, ProbeVersion("softmax", facts))
    return config(model, is_caching=False)


def test_a_probe_of_one_layer_tells_its_tap() -> None:
    tap = BACKBONE.core[1]
    parameters = configured([tap]).parameters
    assert TapId.from_json(parameters["tap"].string_value) == tap
    assert "taps" not in parameters


def test_a_probe_of_joined_layers_tells_their_taps_in_the_order_of_its_weights() -> None:
    taps = BACKBONE.core[::-1]
    parameters = configured(taps).parameters
    told = json.loads(parameters["taps"].string_value)
    assert isinstance(told, list)
    assert tuple(TapId.from_json(json.dumps(one)) for one in told) == taps
    assert [one["layer"] for one in told] == [tap.layer for tap in taps]
    assert "tap" not in parameters

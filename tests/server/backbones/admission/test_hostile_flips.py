"""Files cut short or with bits flipped: refused with a sentence, or a network that runs."""

import random

import numpy as np
import onnxruntime as ort

from icecore.server.backbones.admission.admitting import admit
from icecore.server.backbones.admission.vetting.vetting import vet
from icecore.server.errors import IcecoreError
from networks import network
from toys import toy_graph

SEED = 11
N_VETTED = 300
N_INSPECTED = 4


def spoiled(data: bytes, chance: random.Random) -> bytes:
    """A fifth is cut short, the rest has one to four bits flipped."""
    if chance.random() < 0.2:
        return data[: chance.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4])):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def refusal(data: bytes) -> str | None:
    try:
        vet(data)
    except IcecoreError as error:
        return str(error)
    return None


def test_the_vetting_takes_a_spoiled_file_or_refuses_it_with_a_sentence() -> None:
    """Any other error would show here; the bytes before the weights are where flips tell most."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    whole = [toy_graph(), network("resnet18-int8")]
    said = [refusal(spoiled(whole[turn % 2], chance)) for turn in range(N_VETTED)]
    refused = [sentence for sentence in said if sentence is not None]
    assert all(sentence.isprintable() and len(sentence) < 300 for sentence in refused)
    assert len(refused) > N_VETTED // 10, "flips hardly ever tell: something is not looked at"


def test_what_is_let_in_of_a_spoiled_file_runs() -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    n_inspected = 0
    while n_inspected < N_INSPECTED:
        data = spoiled(toy_graph(), chance)
        try:
            vet(data)
            n_inspected += 1
            graph = admit(data).graph
        except IcecoreError:
            continue
        session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
        pixels = np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)
        (logits,) = session.run(None, {session.get_inputs()[0].name: pixels})
        assert logits.shape == (2, 5)

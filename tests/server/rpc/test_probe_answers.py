"""Comparisons as messages: what is of shared classes is not mixed up with what is of all."""

import numpy as np

from icecore.probes.comparing import Answers, Comparison, compare
from icecore.server.rpc import probe_answers
from icecore.server.training.comparing import Compared


def answers(right: str) -> Answers:
    is_right = np.array([one == "+" for one in right])
    return Answers(is_right, np.zeros(len(right), np.bool_), 5)


def said(found: Comparison, shared: Comparison | None) -> Compared:
    return Compared("p", 1, 2, "c", 0, found, (), ("wasp",), shared)


def test_each_figure_of_shared_classes_arrives_in_its_place() -> None:
    found = compare(answers("++++----"), answers("+++-+++-"), np.arange(8))
    shared = compare(answers("++++-"), answers("+++--"), np.arange(5))
    message = probe_answers.compared(said(found, shared))
    assert message.shared.n_images == 5
    for part, own in ((message, found), (message.shared, shared)):
        assert part.accuracy_a.estimate == own.accuracy_a.estimate
        assert part.accuracy_b.estimate == own.accuracy_b.estimate
        assert part.accuracy_a.estimate != part.accuracy_b.estimate
        difference = (part.difference.estimate, part.difference.low, part.difference.high)
        assert difference == (own.difference, own.low, own.high)


def test_where_there_are_no_shared_classes_none_are_sent() -> None:
    found = compare(answers("+-"), answers("++"), np.arange(2))
    assert not probe_answers.compared(said(found, None)).HasField("shared")

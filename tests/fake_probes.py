"""A server of the contract that trains for real, but on a few grey levels and at once.

For tests of scikit-learn's estimators: what a code is, is the first rows of an image,
and a probe is scikit-learn's own logistic regression.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from fake_server import Answer
from icecore.client import Codes, TapId
from icecore.v1 import codes_pb2, collection_pb2, common_pb2, probe_pb2
from icecore.wire import messages

TAP = TapId(digest="ab" * 32, layer="x", backbone="fake")


def features(image: common_pb2.Image) -> npt.NDArray[np.float64]:
    """Grey levels of all pixels, -1 to 1."""
    pixels = messages.image_from_message(image)
    assert isinstance(pixels, np.ndarray)
    return np.asarray(pixels[:, :, 0].reshape(-1) / 127.5 - 1.0, np.float64)


class Probes:
    """The answers of such a server; `collections` are those not deleted."""

    def __init__(self) -> None:
        self.collections: dict[str, list[tuple[str, npt.NDArray[np.float64]]]] = {}
        self.versions: list[tuple[LogisticRegression, probe_pb2.ProbeVersion]] = []
        self.answers: dict[str, Answer] = {
            "Embed": self.embed,
            "CreateCollection": self.create,
            "AddExamples": self.add,
            "DeleteCollection": self.delete,
            "TrainProbe": self.train,
            "WatchProbe": self.watch,
            "PredictStream": self.predict,
        }

    def embed(self, request: codes_pb2.EmbedRequest) -> codes_pb2.EmbedResponse:
        values = np.array([features(image) for image in request.images], np.float32)
        return codes_pb2.EmbedResponse(codes=[messages.codes_to_message(Codes(values, TAP))])

    def create(self, request: Any) -> collection_pb2.CreateCollectionResponse:
        self.collections[request.collection_id] = []
        return collection_pb2.CreateCollectionResponse()

    def add(self, request: Any) -> collection_pb2.AddExamplesResponse:
        self.collections[request.collection_id] += [
            (one.example.label, features(one.image)) for one in request.examples
        ]
        return collection_pb2.AddExamplesResponse(n_added=len(request.examples))

    def delete(self, request: Any) -> collection_pb2.DeleteCollectionResponse:
        del self.collections[request.collection_id]
        return collection_pb2.DeleteCollectionResponse()

    def train(self, request: probe_pb2.TrainProbeRequest) -> probe_pb2.TrainProbeResponse:
        examples = self.collections[request.collection_id]
        X = np.array([feature for _, feature in examples])
        model = LogisticRegression(C=100.0, max_iter=1000).fit(X, [label for label, _ in examples])
        version = probe_pb2.ProbeVersion(
            probe_id=request.probe_id,
            version=len(self.versions) + 1,
            state=probe_pb2.VERSION_STATE_READY,
            kind=probe_pb2.PROBE_KIND_SOFTMAX,
            tap=messages.tap_to_message(TAP),
            classes=list(model.classes_),
            n_images=len(examples),
        )
        self.versions.append((model, version))
        return probe_pb2.TrainProbeResponse(version=version)

    def watch(self, request: probe_pb2.WatchProbeRequest) -> Iterator[Any]:
        _, version = self.versions[request.version - 1]
        yield probe_pb2.WatchProbeResponse(version=version, stage="done", progress=1.0)

    def predict(self, request: probe_pb2.PredictRequest) -> probe_pb2.PredictResponse:
        model, version = self.versions[request.version - 1]
        X = np.array([features(image) for image in request.images.images])
        scores = model.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([-scores / 2, scores / 2], axis=1)
        return probe_pb2.PredictResponse(
            version=version.version,
            tap=version.tap,
            classes=version.classes,
            predictions=[
                probe_pb2.Prediction(label=model.classes_[row.argmax()], scores=row.tolist())
                for row in scores
            ],
        )

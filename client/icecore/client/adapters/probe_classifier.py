"""ProbeClassifier: a probe trained and kept on an icecore server, as a scikit-learn classifier."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from icecore.client.adapters.pictures import ImageShape
from icecore.client.adapters.server import Server, client_of
from icecore.client.adapters.takes_images import TakesImages
from icecore.client.collection_values import NewExample
from icecore.client.errors import IcecoreError
from icecore.client.input_values import LayerSpec
from icecore.client.probe_values import Prediction, ProbeKind
from icecore.wire.codes import Codes
from icecore.wire.names import MAX_LABEL_LENGTH, check_text
from icecore.wire.taps import AVG, Activation, Pooling, PoolingKind


def _has_probabilities(estimator: "ProbeClassifier") -> bool:
    return estimator.kind == ProbeKind.SOFTMAX


class ProbeClassifier(ClassifierMixin, TakesImages):  # type: ignore[misc] # no types there
    """A linear classifier over codes, whose layer and C the server chooses.

    `fit` brings the images into a collection of their own, trains, and deletes that
    collection again. What is left is a version of the probe named `probe` on the
    server, which `predict` asks by its number: two fitted estimators do not get in each
    other's way, nor does a pickled one. `Client.delete_probe` removes all of them.

    X is as for `CodesTransformer`, to predict from also `Codes` of the probe's own tap.

    Args:
        server, backbone, image_shape, value_range: as in `CodesTransformer`.
        probe: its name on the server; each `fit` adds a version.
        layer: a depth or a name, several to choose from, "auto" for one of all depths, or "all" for
            as many read together as are of use.
        kind: "softmax" or "svm" (no probabilities).
        activation, pooling: what is read at a layer, and how; "auto" tries some poolings.
        promote: let `fit` make its version the one that others get.
        random_state: the seed of the folds.

    Attributes:
        classes_: (k,) labels, ascending.
        version_: the `ProbeVersion`, with tap, C and an accuracy from folds that chose
            nothing.
        n_features_in_: numbers a row, where X was a table.
    """

    def __init__(
        self,
        server: str | Server | None = None,
        probe: str = "scikit-learn",
        backbone: str = "",
        layer: LayerSpec | Sequence[LayerSpec] = "auto",
        *,
        kind: ProbeKind | str = "softmax",
        activation: Activation | str = "as-trained",
        pooling: Pooling | str = "avg",
        promote: bool = False,
        random_state: int = 0,
        image_shape: ImageShape = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.server = server
        self.probe = probe
        self.backbone = backbone
        self.layer = layer
        self.kind = kind
        self.activation = activation
        self.pooling = pooling
        self.promote = promote
        self.random_state = random_state
        self.image_shape = image_shape
        self.value_range = value_range

    def fit(self, X: Any, y: Any) -> Self:
        """Train a version and wait for it.

        Raises:
            ValueError: X holds no images, or y less than two classes of two images each.
            TrainingFailed, IcecoreError: as the `Client`.
        """
        images, n = self._images(X, is_fit=True)
        labels = column_or_1d(y, warn=True)
        labels = check_array(labels, ensure_2d=False, dtype=None, input_name="y", estimator=self)
        check_consistent_length(range(n), labels)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        counts = np.bincount(numbers)
        if len(counts) < 2:
            raise ValueError(
                f"y holds 1 class, {self.classes_.tolist()[0]!r}, but two or more are needed"
            )
        if counts.min() < 2:
            rare = self.classes_.tolist()[counts.argmin()]
            raise ValueError(f"class {rare!r} has one sample, but two or more are needed of each")
        self._labels = _texts(self.classes_)
        self._train(
            NewExample(f"{place:08}", image, self._labels[number])
            for place, (image, number) in enumerate(zip(images, numbers, strict=True))
        )
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return (n,) labels, of `classes_`."""
        scores = self._scores(X)
        return self.classes_[scores.argmax(axis=1)]  # type: ignore[no-any-return]

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """Return what scikit-learn's own would: (n, k), or (n,) of the second of two classes."""
        scores = self._scores(X)
        if scores.shape[1] > 2:
            return scores
        # Of two classes the server tells -s/2 and s/2 for softmax, -s and s for an SVM.
        halves = 1.0 if self.kind == ProbeKind.SOFTMAX else 0.5
        return halves * (scores[:, 1] - scores[:, 0])

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return (n, k) probabilities, in the order of `classes_`."""
        scores = self._scores(X)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return (n, k) logarithms of probabilities."""
        scores = self._scores(X)
        above = scores - scores.max(axis=1, keepdims=True)
        return above - np.log(np.exp(above).sum(axis=1, keepdims=True))  # type: ignore[no-any-return]

    def _train(self, examples: Iterable[NewExample]) -> None:
        client = client_of(self.server)
        collection = f"{self.probe[:80]}-{uuid.uuid4().hex}"
        # What is stored of an image anyhow is its core; only other taps need the image.
        is_core = self.activation == Activation.AS_TRAINED and self.pooling in (
            AVG,
            PoolingKind.AVG.value,
        )
        client.create_collection(collection, backbone=self.backbone, keep_images=not is_core)
        try:
            client.add_examples(collection, examples)
            self.version_ = client.train_probe(
                self.probe,
                collection,
                kind=self.kind,
                layers=self.layer,
                activation=self.activation,
                pooling=self.pooling,
                seed=self.random_state,
                promote=self.promote,
                wait=True,
            )
        except BaseException:
            _delete_quietly(client, collection)
            raise
        client.delete_collection(collection)

    def _scores(self, X: Any) -> npt.NDArray[np.float64]:
        """Return (n, k) scores in the order of `classes_`."""
        check_is_fitted(self)
        client = client_of(self.server)
        version = self.version_.version
        told: Iterable[Prediction]
        if isinstance(X, Codes):
            n, told = len(X), client.predict(self.probe, codes=X, version=version)
        else:
            images, n = self._images(X, is_fit=False)
            told = client.predict_stream(self.probe, images, version=version)
        scores = np.empty((n, len(self.classes_)))
        for row, prediction in enumerate(told):
            scores[row] = [prediction.scores[label] for label in self._labels]
        return scores


def _delete_quietly(client: Any, collection: str) -> None:
    """Take away what a failed `fit` leaves; why it failed is more to the point."""
    try:
        client.delete_collection(collection)
    except IcecoreError:
        return


def _texts(classes: npt.NDArray[Any]) -> list[str]:
    """Return what classes are called on the server: their own texts where those will do."""
    try:
        texts = [
            check_text("label", str(one), max_length=MAX_LABEL_LENGTH, may_be_empty=False)
            for one in classes
        ]
    except ValueError:
        texts = []
    is_usable = len(set(texts)) == len(classes)
    return texts if is_usable else [f"class {number:06}" for number in range(len(classes))]

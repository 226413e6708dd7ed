"""icecore as estimators of scikit-learn, which this alone of the client imports.

make_pipeline(CodesTransformer(layer=17), LogisticRegression()).fit(paths, labels)
ProbeClassifier().fit(paths, labels).predict(more_paths)
"""

from icecore.client.adapters.codes_transformer import CodesTransformer
from icecore.client.adapters.probe_classifier import ProbeClassifier
from icecore.client.adapters.server import Server, close_clients

__all__ = ["CodesTransformer", "ProbeClassifier", "Server", "close_clients"]

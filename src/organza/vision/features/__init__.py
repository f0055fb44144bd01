"""Feature networks: pictures in, vectors out, in whose space the metrics compare sets of pictures."""

from organza.vision.features.base import Features, Output
from organza.vision.features.opening import DEFAULT, FEATURES, metric_prefix, open_features

__all__ = ["DEFAULT", "FEATURES", "Features", "Output", "metric_prefix", "open_features"]

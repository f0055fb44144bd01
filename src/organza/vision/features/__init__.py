"""Feature networks: images in, vectors out, in whose space the metrics compare sets of images."""

from organza.vision.features.base import Features, Output
from organza.vision.features.opening import DEFAULT, FEATURES, metric_prefix, open_features

__all__ = ["DEFAULT", "FEATURES", "Features", "Output", "metric_prefix", "open_features"]

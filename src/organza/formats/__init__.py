"""Other people's weights, read without running anything of theirs."""

from organza.formats.reading import read_weights, understand
from organza.formats.sources import PUBLISHED, locate
from organza.formats.weights import Weights

__all__ = ["PUBLISHED", "Weights", "locate", "read_weights", "understand"]

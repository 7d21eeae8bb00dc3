"""Makes a model smaller: fewer layers, fewer heads, int8; measured against what it was. Needs the `train` extra."""

from models.compression.compress import Outcome, compress, put_back
from models.compression.policy import Keep, Policy

__all__ = ["Keep", "Outcome", "Policy", "compress", "put_back"]

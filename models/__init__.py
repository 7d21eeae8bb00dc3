"""The classifier: load, batch, infer; fine-tune, evaluate, compress, explain. Imports domain/ only."""

from models.load import load_classifier

__all__ = ["load_classifier"]

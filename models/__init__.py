"""The classifier: load, batch, infer; fine-tune, evaluate, export. Imports domain/ only."""

from models.load import load_classifier

__all__ = ["load_classifier"]

"""The classifier: load, batch, infer; fine-tune, evaluate, export. Imports domain/ only."""

from models.load import load_classifier
from models.serving import AdmissionPolicy, Classifier

__all__ = ["AdmissionPolicy", "Classifier", "load_classifier"]

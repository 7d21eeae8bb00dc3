"""The classifier: load, batch, infer; fine-tune, evaluate, compress, explain. Imports domain/ only."""

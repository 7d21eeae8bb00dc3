"""Model folders in miniature with random weights: quick to make, and answers that differ from text to text."""

from __future__ import annotations

from pathlib import Path

import torch
from support.tiny_models import tiny_encoder

from models.export import export
from models.folder import Kind, ModelSettings, Pooling, seal, write_settings
from models.network import from_encoder, save_network
from models.normalise import VERSION

SENTIMENTS = ("negative", "neutral", "positive")


def tiny_network(
    folder: Path, *, pooling: Pooling = Pooling.MEAN, entities: bool = True, openvino: bool = True
) -> Path:
    """Tasks of each kind, some with a temperature; windows of 16 tokens; an OpenVINO file in full precision."""
    tasks: dict[str, tuple[str, ...]] = {
        "sentiment": SENTIMENTS,
        "topic": ("Oil", "Macro"),
        "flags": ("fraud", "recall"),
    }
    kinds = {"flags": Kind.MULTI}
    if entities:
        tasks["entity_sentiment"] = SENTIMENTS
        kinds["entity_sentiment"] = Kind.ENTITY
    tiny_encoder(folder)
    torch.manual_seed(2)
    network = from_encoder(folder, tasks, kinds=kinds, pooling=pooling)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if weights.dim() == 2 and "embeddings" not in name:
                weights.normal_(std=0.4)
    save_network(network, folder)
    write_settings(
        folder,
        ModelSettings(
            name="tiny",
            tasks=tasks,
            kinds=kinds,
            pooling=pooling,
            temperatures={"topic": 1.7, "entity_sentiment": 0.6},
            languages=("en",),
            normaliser=VERSION,
            window_tokens=16,
        ),
    )
    if openvino:
        export(folder, [], int8=False)
    else:
        seal(folder)
    return folder

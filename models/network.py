"""The network in torch: one encoder, mean pooling, a linear head per task. Training, export and GPU serving only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel
from transformers.utils import logging

HEADS_FILE = "heads.safetensors"
DROPOUT = 0.1

# Loading an encoder without its pooler is meant, and neither that nor a bar belongs in a service's log.
logging.set_verbosity_error()
logging.disable_progress_bar()


class MultiTaskNetwork(nn.Module):
    """Token ids and mask, both int64 of shape (texts, tokens), to logits (texts, labels) by task."""

    def __init__(self, encoder: Any, hidden_size: int, tasks: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.dropout = nn.Dropout(DROPOUT)
        self.heads = nn.ModuleDict({task: nn.Linear(hidden_size, len(labels)) for task, labels in tasks.items()})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled = self.dropout((hidden * mask).sum(1) / mask.sum(1))
        return {task: head(pooled) for task, head in self.heads.items()}


def from_encoder(folder: Path, tasks: Mapping[str, Sequence[str]]) -> MultiTaskNetwork:
    """The pretrained encoder in a Hugging Face folder, in full precision, with new heads."""
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False, local_files_only=True)
    return MultiTaskNetwork(encoder, encoder.config.hidden_size, tasks)


def load_network(folder: Path, tasks: Mapping[str, Sequence[str]]) -> MultiTaskNetwork:
    """A network that `save_network` wrote, in full precision and in evaluation mode."""
    network = from_encoder(folder, tasks)
    network.heads.load_state_dict(load_file(folder / HEADS_FILE))
    return network.eval()


def save_network(network: MultiTaskNetwork, folder: Path) -> None:
    """Write `config.json`, `model.safetensors` (what `AutoModel` reads) and `heads.safetensors`, in half precision:
    half the size, and 11 bits are more than fine-tuning resolves."""
    half = {name: tensor.half() for name, tensor in network.encoder.state_dict().items()}
    network.encoder.save_pretrained(folder, state_dict=half)
    heads = {name: tensor.half().contiguous() for name, tensor in network.heads.state_dict().items()}
    save_file(heads, folder / HEADS_FILE)

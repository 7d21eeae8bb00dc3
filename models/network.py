"""The network in torch: one encoder, pooling, a linear head per task. Training, export and GPU serving only."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel
from transformers.utils import logging

from domain.errors import PermanentError
from models.attention import pruned_heads, shape_like
from models.folder import ADAPTER_FILES, ENCODER_FILE, HEADS_FILE, Kind, ModelSettings, Pooling

DROPOUT = 0.1

# Loading an encoder without its pooler is meant, and neither that nor a bar belongs in a service's log.
logging.set_verbosity_error()
logging.disable_progress_bar()


class EntityHead(nn.Module):
    """Logits of a marked span: of its tokens' mean beside the text's mean. Since both maps are linear they are applied
    token by token, and the mean over any span's rows of the result is that span's logits: one pass answers for every
    span of a text, and none has to be known before."""

    def __init__(self, hidden_size: int, labels: int) -> None:
        super().__init__()
        self.token = nn.Linear(hidden_size, labels)
        self.text = nn.Linear(hidden_size, labels, bias=False)

    def forward(self, hidden: Tensor, pooled: Tensor) -> Tensor:
        """(texts, tokens, hidden) and (texts, hidden) to (texts, tokens, labels)."""
        logits: Tensor = self.token(hidden) + self.text(pooled).unsqueeze(1)
        return logits


class MultiTaskNetwork(nn.Module):
    """Token ids and mask, both int64 of shape (texts, tokens), to logits by task: (texts, labels), and for a task of
    kind ENTITY (texts, tokens, labels), of which the mean over a span's tokens is the span's."""

    def __init__(
        self, encoder: Any, tasks: Mapping[str, Sequence[str]], *, kinds: Mapping[str, Kind], pooling: Pooling
    ) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.dropout = nn.Dropout(DROPOUT)
        self.pooling = pooling
        size = encoder.config.hidden_size
        self.heads = nn.ModuleDict(
            {
                task: EntityHead(size, len(labels)) if kinds.get(task) is Kind.ENTITY else nn.Linear(size, len(labels))
                for task, labels in tasks.items()
            }
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        pooled = self.dropout(self._pool(hidden, attention_mask))
        return {
            task: head(self.dropout(hidden), pooled) if isinstance(head, EntityHead) else head(pooled)
            for task, head in self.heads.items()
        }

    def _pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        if self.pooling is Pooling.CLS:
            return hidden[:, 0]
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)


def from_encoder(
    folder: Path,
    tasks: Mapping[str, Sequence[str]],
    *,
    kinds: Mapping[str, Kind] | None = None,
    pooling: Pooling = Pooling.MEAN,
) -> MultiTaskNetwork:
    """The pretrained encoder in a Hugging Face folder, in full precision, with new heads."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    # Only families that have a pooler take the word; nothing here reads one.
    takes = inspect.signature(MODEL_MAPPING[type(config)]).parameters
    without_pooler = {"add_pooling_layer": False} if "add_pooling_layer" in takes else {}
    if pruned_heads(config):
        encoder = AutoModel.from_config(config, dtype=torch.float32, **without_pooler)
        shape_like(encoder, config)
        encoder.load_state_dict(load_file(folder / ENCODER_FILE))
    else:
        encoder = AutoModel.from_pretrained(
            folder, config=config, dtype=torch.float32, local_files_only=True, use_safetensors=True, **without_pooler
        )
    return MultiTaskNetwork(encoder, tasks, kinds=kinds or {}, pooling=pooling)


def load_network(folder: Path, settings: ModelSettings) -> MultiTaskNetwork:
    """A network that `save_network` wrote, in full precision and in evaluation mode."""
    network = from_encoder(folder, settings.tasks, kinds=settings.kinds, pooling=settings.pooling)
    network.heads.load_state_dict(load_file(folder / HEADS_FILE))
    if ADAPTER_FILES[0] in settings.files:
        # Imported here: few models have an adapter, and no other needs the library.
        try:
            from peft import PeftModel
        except ImportError as error:
            raise PermanentError(
                f"{folder} has learnt prefixes and needs peft: pip install 'groundswell[train]'"
            ) from error

        network.encoder = PeftModel.from_pretrained(network.encoder, str((folder / ADAPTER_FILES[0]).parent))
    return network.eval()


def save_network(network: MultiTaskNetwork, folder: Path) -> None:
    """Write `config.json`, `model.safetensors` (what `AutoModel` reads) and `heads.safetensors`, in half precision:
    half the size, and 11 bits are more than fine-tuning resolves. Of an encoder with an adapter that cannot be merged
    (a PEFT model), the adapter goes to `adapter/` and the encoder as it was beside it."""
    encoder = network.encoder
    if hasattr(encoder, "get_base_model"):
        encoder.save_pretrained(str((folder / ADAPTER_FILES[0]).parent))
        encoder = encoder.get_base_model()
    half = {name: tensor.half() for name, tensor in encoder.state_dict().items()}
    encoder.save_pretrained(folder, state_dict=half)
    heads = {name: tensor.half().contiguous() for name, tensor in network.heads.state_dict().items()}
    save_file(heads, folder / HEADS_FILE)

"""The network of a Hugging Face sequence classification checkpoint, in the form of `models.network`. Needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from domain.errors import PermanentError
from models.first_token import is_bert_like
from models.folder import Pooling
from models.network import MultiTaskNetwork


class WholeNetwork(nn.Module):
    """A checkpoint of any architecture: token ids and mask, of shape (texts, tokens), to logits by task."""

    def __init__(self, model: Any, task: str) -> None:
        super().__init__()
        self.model: Any = model
        self._task = task

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        return {self._task: self.model(input_ids=input_ids, attention_mask=attention_mask).logits}


def load_checkpoint(folder: Path, task: str) -> MultiTaskNetwork | WholeNetwork:
    """In full precision and in evaluation mode; of safetensors only, and without running code of the folder's.

    A BERT-like one becomes what our own folders hold, an encoder pooled at its first token with a head, and so runs in
    every way in which those run.

    Raises PermanentError when transformers can't load it.
    """
    try:
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
        ).eval()
    except Exception as error:  # of whatever type transformers, safetensors or the architecture's code chooses
        said = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise PermanentError(f"transformers cannot load the classifier in {folder}: {said}") from error
    encoder = model.base_model
    if not is_bert_like(encoder):
        return WholeNetwork(model, task).eval()
    if model.config.model_type == "bert":
        head = nn.Sequential(encoder.pooler.dense, nn.Tanh(), model.classifier)
        encoder.pooler = None
    else:
        head = nn.Sequential(model.classifier.dense, nn.Tanh(), model.classifier.out_proj)
    network = MultiTaskNetwork(encoder, {}, kinds={}, pooling=Pooling.CLS)
    network.heads[task] = head
    return network.eval()

"""A BERT-like encoder whose last layer is computed for the first token alone: all that CLS pooling needs of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

BERT_LIKE = ("bert", "roberta", "xlm-roberta", "camembert")
"""What transformers calls the architectures whose layers are built as `forward` here (and `models.packed`) expects."""


def is_bert_like(encoder: Any) -> bool:
    """Whether this module and `models.packed` can run it: with learnt absolute positions, and without an adapter."""
    config = encoder.config
    if config.model_type not in BERT_LIKE or hasattr(encoder, "get_base_model"):
        return False
    return getattr(config, "position_embedding_type", None) in (None, "absolute") and not config.is_decoder


class FirstTokenEncoder(nn.Module):
    """Token ids and mask, of shape (texts, tokens), to an object whose `last_hidden_state`, of shape
    (texts, 1, hidden), is the encoder's at the first token. Saves ten twelfths of the last layer's arithmetic."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.config = encoder.config
        self.last: Any = encoder.encoder.layer[-1]
        encoder.encoder.layer = encoder.encoder.layer[:-1]
        self.others = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        hidden = self.others(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        first, inner = hidden[:, :1], self.last.attention.self
        query, key, value = (
            linear(states).unflatten(-1, (inner.num_attention_heads, -1)).transpose(1, 2)
            for linear, states in ((inner.query, first), (inner.key, hidden), (inner.value, hidden))
        )
        seen = attention_mask.bool()[:, None, None, :]
        context = scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(1, 2).flatten(2)
        attended = self.last.attention.output(context, first)
        return SimpleNamespace(last_hidden_state=self.last.output(self.last.intermediate(attended), attended))

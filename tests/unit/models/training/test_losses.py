"""Losses against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.folder import Kind
from models.training.examples import Example, Label
from models.training.losses import class_weights, disagreement, label_loss, teacher_loss
from models.training.policies import Balance, Loss, LossKind, Task

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 3.0]])
HARD = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
SOFT = torch.tensor([[0.5, 0.0, 0.5], [0.2, 0.3, 0.5]])
WEIGHTS = torch.tensor([0.5, 2.0, 1.0])


def test_cross_entropy_of_a_label_is_minus_the_log_of_its_probability() -> None:
    loss = label_loss(LOGITS, HARD, Loss(), Kind.SINGLE, None)
    assert torch.allclose(loss, -LOGITS.log_softmax(-1)[[0, 1], [1, 2]])


def test_soft_labels_smoothing_and_class_weights_change_the_loss_as_defined() -> None:
    loss = label_loss(LOGITS, SOFT, Loss(label_smoothing=0.3), Kind.SINGLE, WEIGHTS)
    expected = -(SOFT * WEIGHTS).sum(-1) * ((SOFT * 0.7 + 0.1) * LOGITS.log_softmax(-1)).sum(-1)
    assert torch.allclose(loss, expected)
    each = label_loss(LOGITS, SOFT, Loss(label_smoothing=0.3), Kind.MULTI, WEIGHTS)
    entropy = functional.binary_cross_entropy(LOGITS.sigmoid(), SOFT * 0.7 + 0.15, reduction="none")
    assert torch.allclose(each, ((1 - SOFT + WEIGHTS * SOFT) * entropy).mean(-1))


@pytest.mark.parametrize("loss", LossKind)
@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.MULTI])
def test_a_rare_class_that_weighs_much_is_no_answer_to_the_rows_without_it(loss: LossKind, kind: Kind) -> None:
    policy, weights = Loss(kind=loss, label_smoothing=0.1), torch.tensor([1.0, 100.0])
    logits = torch.zeros((1, 2), requires_grad=True)
    label_loss(logits, torch.tensor([[1.0, 0.0]]), policy, kind, weights).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1], "a step makes the common label likelier and the rare one less so"


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.MULTI])
def test_a_focal_loss_without_focus_is_the_cross_entropy(kind: Kind) -> None:
    focal = Loss(kind=LossKind.FOCAL, gamma=0.0, label_smoothing=0.1)
    plain = Loss(label_smoothing=0.1)
    assert torch.allclose(
        label_loss(LOGITS, SOFT, focal, kind, WEIGHTS), label_loss(LOGITS, SOFT, plain, kind, WEIGHTS), atol=1e-6
    )


def test_the_focal_loss_counts_a_sure_answer_less() -> None:
    probability = LOGITS.softmax(-1)[1, 2]
    loss = label_loss(LOGITS, HARD, Loss(kind=LossKind.FOCAL, gamma=2.0), Kind.SINGLE, None)[1]
    assert torch.allclose(loss, -((1 - probability) ** 2) * probability.log())
    one, other = LOGITS[1, 0].sigmoid(), LOGITS[1, 2].sigmoid()
    multi = label_loss(LOGITS[1:, [0, 2]], HARD[1:, [0, 2]], Loss(kind=LossKind.FOCAL, gamma=2.0), Kind.MULTI, None)
    expected = -((one**2) * (1 - one).log() + (1 - other) ** 2 * other.log()) / 2
    assert torch.allclose(multi[0], expected)


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.MULTI])
def test_the_focal_loss_of_a_sure_answer_has_a_gradient_whatever_the_focus(kind: Kind) -> None:
    logits = torch.tensor([[200.0, -200.0, -200.0]], requires_grad=True)
    loss = label_loss(logits, torch.tensor([[1.0, 0.0, 0.0]]), Loss(kind=LossKind.FOCAL, gamma=0.5), kind, None)
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_a_task_of_many_labels_asks_each_by_itself() -> None:
    loss = label_loss(LOGITS, HARD, Loss(), Kind.MULTI, None)
    expected = functional.binary_cross_entropy(LOGITS.sigmoid(), HARD, reduction="none").mean(-1)
    assert torch.allclose(loss, expected)


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.MULTI])
def test_who_says_what_the_teachers_say_loses_nothing(kind: Kind) -> None:
    said = LOGITS.softmax(-1) if kind is Kind.SINGLE else LOGITS.sigmoid()
    assert teacher_loss(LOGITS, said, kind, 1.0).abs().max() < 1e-6
    assert teacher_loss(LOGITS, said, kind, 3.0).abs().max() < 1e-5
    assert teacher_loss(-LOGITS, said, kind, 1.0).min() > 0.1


def test_the_gradient_keeps_its_size_at_a_high_temperature() -> None:
    def gradient(temperature: float) -> Tensor:
        logits = (0.01 * LOGITS).requires_grad_()
        teacher_loss(logits, (0.01 * LOGITS.flip(0)).softmax(-1), Kind.SINGLE, temperature).sum().backward()
        assert logits.grad is not None
        return logits.grad

    # Hinton et al. 2015, equation 4: the same up to terms of higher order in the logits.
    assert torch.allclose(gradient(1.0), gradient(8.0), rtol=0.05, atol=1e-5)


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.MULTI])
def test_two_passes_that_agree_have_no_disagreement_and_neither_comes_first(kind: Kind) -> None:
    assert disagreement(LOGITS, LOGITS, kind).abs().max() < 1e-6
    one = disagreement(LOGITS, LOGITS.flip(0), kind)
    assert one.min() > 0.1
    assert torch.allclose(one, disagreement(LOGITS.flip(0), LOGITS, kind), atol=1e-6)


def test_the_disagreement_is_the_mean_of_both_divergences() -> None:
    one, other = LOGITS.log_softmax(-1), LOGITS.flip(0).log_softmax(-1)
    both = functional.kl_div(one, other, log_target=True, reduction="none").sum(-1)
    both = both + functional.kl_div(other, one, log_target=True, reduction="none").sum(-1)
    assert torch.allclose(disagreement(LOGITS, LOGITS.flip(0), Kind.SINGLE), both / 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the processor's mixed precision allows more")
@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.MULTI])
def test_divergences_are_taken_in_mixed_precision_on_a_gpu(kind: Kind) -> None:
    logits = LOGITS.cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        both = disagreement(logits, logits.flip(0), kind), teacher_loss(logits, logits.flip(0).sigmoid(), kind, 2.0)
    assert all(loss.isfinite().all() for loss in both)


def test_balanced_weights_make_up_for_how_often_a_label_comes() -> None:
    def example(task: str, *target: float) -> Example:
        return Example(text="x", labels=(Label(task=task, source="s", target=target),))

    balanced = Loss(class_weights=Balance.BALANCED)
    tasks = {
        "mood": Task(labels=("bad", "good"), loss=balanced),
        "theme": Task(labels=("oil", "gold"), loss=Loss(class_weights={"gold": 3.0})),
        "many": Task(labels=("fees", "service"), kind=Kind.MULTI, loss=balanced),
        "always": Task(labels=("fees", "service"), kind=Kind.MULTI, loss=balanced),
        "plain": Task(labels=("a", "b")),
    }
    examples = [example("mood", 1, 0)] * 3 + [example("mood", 0, 1)]
    examples += [example("many", 1, 0)] * 2 + [example("many", 1, 1)] + [example("many", 0, 0)]
    examples += [example("always", 1, 0), example("always", 1, 1), example("always", 1, 0)]
    weights = class_weights(tasks, examples)
    assert {task: weight.tolist() for task, weight in weights.items()} == {
        "mood": [pytest.approx(4 / 6), 2.0],
        "theme": [1.0, 3.0],
        "many": [pytest.approx(1 / 3), 3.0],
        "always": [pytest.approx(1 / 3), 2.0],
    }

"""The loss of a batch: biases by source, two passes, labels beside teachers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_models import tiny_encoder

from models.folder import Kind
from models.network import from_encoder
from models.training.batches import Mark, Tokenised, collate
from models.training.examples import Label
from models.training.learner import Learner
from models.training.losses import label_loss
from models.training.policies import Task

MOODS = ("negative", "positive")
SOURCES = {"mood": ["wire", "tweets"], "names": ["wire"]}


def learner(place: Path, *, r_drop: float = 0.0, **task: Any) -> Learner:
    torch.manual_seed(0)
    tasks = {"mood": Task(labels=MOODS, **task), "names": Task(labels=MOODS, kind=Kind.ENTITY)}
    network = from_encoder(tiny_encoder(place), {"mood": MOODS, "names": MOODS}, kinds={"names": Kind.ENTITY})
    network.dropout.p = 0.5 if r_drop else 0.0
    return Learner(network, tasks, sources=SOURCES, class_weights={}, r_drop=r_drop)


def label(
    source: str = "wire", weight: float = 1.0, task: str = "mood", target: tuple[float, ...] = (0.0, 1.0)
) -> Label:
    return Label(task=task, source=source, target=target, weight=weight)


def batch(*rows: tuple[list[int], list[Mark], list[Mark]]) -> dict[str, Any]:
    read = [Tokenised(ids, tuple(labels), tuple(teachers)) for ids, labels, teachers in rows]
    return collate(read, padding_id=0, sources=SOURCES)


ONE = [2, 20, 21, 22, 3]
OTHER = [2, 30, 3]


def test_the_loss_is_the_weighed_sum_over_the_labels_by_texts(tmp_path: Path) -> None:
    learns = learner(tmp_path)
    read = batch(
        (ONE, [Mark(label(weight=0.25)), Mark(label("tweets", target=(0.5, 0.5)))], []),
        (OTHER, [Mark(label(task="names"), (1,))], []),
    )
    logits = learns.network(read["input_ids"], read["attention_mask"])
    policy, targets = Task(labels=MOODS).loss, torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    of_texts = label_loss(logits["mood"][[0, 0]], targets, policy, Kind.SINGLE, None)
    of_name = label_loss(logits["names"][1, 1][None], targets[:1], policy, Kind.ENTITY, None)
    expected = (0.25 * of_texts[0] + of_texts[1] + of_name[0]) / 2
    assert torch.allclose(learns(**read)["loss"], expected)


def test_a_names_logits_are_the_mean_over_its_tokens(tmp_path: Path) -> None:
    learns = learner(tmp_path)
    read = batch((ONE, [Mark(label(task="names"), (1, 3))], []))
    rows = learns.network(read["input_ids"], read["attention_mask"])["names"][0]
    expected = -((rows[1] + rows[3]) / 2).log_softmax(-1)[1]
    assert torch.allclose(learns(**read)["loss"], expected)


@pytest.mark.parametrize(("dropout", "counts"), [(0.0, True), (1.0, False)])
def test_a_sources_bias_is_added_to_its_own_labels_unless_dropped(tmp_path: Path, dropout: float, counts: bool) -> None:
    learns = learner(tmp_path, source_bias=True, source_dropout=dropout)
    of_wire, of_tweets = batch((ONE, [Mark(label())], [])), batch((ONE, [Mark(label("tweets"))], []))
    before = learns(**of_wire)["loss"]
    assert torch.equal(before, learns(**of_tweets)["loss"])
    with torch.no_grad():
        learns.source_bias["mood"][1] = torch.tensor([5.0, 0.0])
    assert torch.equal(learns(**of_wire)["loss"], before)
    assert bool(learns(**of_tweets)["loss"] > before + 1) is counts


def test_a_bias_learns_what_is_peculiar_to_its_source(tmp_path: Path) -> None:
    learns = learner(tmp_path, source_bias=True, source_dropout=0.0)
    learns(**batch((ONE, [Mark(label("tweets"))], [])))["loss"].backward()
    gradient = learns.source_bias["mood"].grad
    assert gradient is not None
    assert gradient[0].abs().max() == 0
    assert gradient[1, 1] < 0 < gradient[1, 0]


def test_teachers_know_no_source(tmp_path: Path) -> None:
    learns = learner(tmp_path, source_bias=True, source_dropout=0.0)
    read = batch((ONE, [], [Mark(label())]))
    before = learns(**read)["loss"]
    with torch.no_grad():
        learns.source_bias["mood"].fill_(3.0)
    assert torch.equal(learns(**read)["loss"], before)
    assert before > 0


def test_two_passes_that_differ_cost_more_than_one(tmp_path: Path) -> None:
    twice = learner(tmp_path, r_drop=100.0)
    read = batch((ONE, [Mark(label())], []), (OTHER, [Mark(label())], []))
    with torch.no_grad():
        twice.network.heads["mood"].weight.mul_(20)
        apart = twice(**read)["loss"]
        twice.network.dropout.p = 0.0
        agreeing = twice(**read)["loss"]
        twice._r_drop = 0.0
        assert torch.allclose(agreeing, twice(**read)["loss"])
    assert apart > agreeing + 5


def test_both_passes_have_the_sources_bias_or_neither_has(tmp_path: Path) -> None:
    twice = learner(tmp_path, r_drop=100.0, source_bias=True)
    twice.network.dropout.p = 0.0
    read = batch(*[(ONE, [Mark(label("tweets"))], [])] * 20)
    with torch.no_grad():
        twice.source_bias["mood"][1] = torch.tensor([5.0, 0.0])
        torch.manual_seed(1)
        with_r_drop = twice(**read)["loss"]
        twice._r_drop = 0.0
        torch.manual_seed(1)
        assert torch.allclose(with_r_drop, twice(**read)["loss"])


def test_a_batch_without_labels_gives_no_loss_but_gradients(tmp_path: Path) -> None:
    learns = learner(tmp_path)
    loss = learns(**batch((ONE, [], [])))["loss"]
    loss.backward()
    assert loss == 0
    assert all(weight.grad is None or weight.grad.abs().max() == 0 for weight in learns.parameters())


def test_a_checkpoint_holds_what_learns_and_nothing_else(tmp_path: Path) -> None:
    learns = learner(tmp_path, source_bias=True)
    learns.network.encoder.requires_grad_(False)
    assert set(learns.state_dict()) == {
        "source_bias.mood",
        "network.heads.mood.weight",
        "network.heads.mood.bias",
        "network.heads.names.token.weight",
        "network.heads.names.token.bias",
        "network.heads.names.text.weight",
    }

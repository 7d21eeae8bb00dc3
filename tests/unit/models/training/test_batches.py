"""The order in which examples are read, and what a batch holds."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny_models import tiny_encoder
from tokenizers import Tokenizer

from models.load import load_tokenizer
from models.training.batches import BatchOrder, TrainingSet, collate, tokenise
from models.training.examples import Example, Label


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return load_tokenizer(tiny_encoder(tmp_path))


def about(name: str | None = None, source: str = "one", task: str = "mood", weight: float = 1.0) -> Label:
    return Label(task=task, source=source, target=(0.0, 1.0), entity=name, weight=weight)


def test_an_epoch_reads_each_example_once_in_batches_of_like_length() -> None:
    choose = random.Random(0)
    lengths = [choose.randrange(5, 100) for _ in range(1000)]
    order = BatchOrder(lambda draw: lengths[draw[0]], [1.0] * 1000, batch_size=16, seed=0)
    drawn = [index for index, _ in order]
    assert sorted(drawn) == list(range(1000))
    batches = [drawn[start : start + 16] for start in range(0, 1000, 16)]
    padded = sum(max(lengths[index] for index in batch) * len(batch) for batch in batches)
    assert padded / sum(lengths) < 1.05, "at random it would be 1.8"
    means = [sum(lengths[index] for index in batch) / len(batch) for batch in batches]
    assert means != sorted(means)


def test_texts_that_augmentation_made_longer_do_not_pad_those_that_it_left(tokenizer: Tokenizer) -> None:
    def join(example: Example, rng: random.Random) -> Example:
        return replace(example, text=f"{example.text} ; {example.text}") if rng.random() < 0.2 else example

    examples = [Example(text=" ".join(["soars"] * (1 + number % 30)), labels=()) for number in range(640)]
    read = TrainingSet(examples, tokenizer, max_tokens=96, augmentation=join, seed=0)
    lengths = [len(read[draw].ids) for draw in BatchOrder(read.length, [1.0] * 640, batch_size=16, seed=0)]
    padded = sum(16 * max(lengths[start : start + 16]) for start in range(0, 640, 16))
    assert padded / sum(lengths) < 1.05, "sorted by what they were before it would be 1.6"


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    def drawn(seed: int, epoch: int) -> list[tuple[int, int]]:
        order = BatchOrder(lambda draw: draw[0], [1.0] * 100, batch_size=8, seed=seed)
        order.set_epoch(epoch)
        return list(order)

    assert drawn(0, 1) == drawn(0, 1)
    assert len({tuple(drawn(seed, epoch)) for seed in range(2) for epoch in range(2)}) == 4
    assert {number for _, number in drawn(0, 0)}.isdisjoint(number for _, number in drawn(0, 1))


@pytest.mark.parametrize("weight", [0.25, 1.5, 3.0])
def test_an_example_is_drawn_as_often_as_its_weight_says(weight: float) -> None:
    order = BatchOrder(lambda _: 10, [weight] * 200 + [1.0] * 200, batch_size=8, seed=0)
    assert len(order) == len(list(order)) == 200 * weight + 200
    counts = Counter(index for index, _ in order)
    assert {counts[index] for index in range(200)} <= {int(weight), -int(-weight // 1)}
    assert {counts[index] for index in range(200, 400)} == {1}


def test_a_batch_holds_the_tokens_and_the_labels_of_its_texts(tokenizer: Tokenizer) -> None:
    examples = [
        Example(text="firma soars", labels=(about(), about(source="two", weight=0.5))),
        Example(text="firmb", labels=(), teachers=(about(),)),
        Example(text="firma beats , firmb plunges , firma holds", labels=(about("firma", task="names"),)),
    ]
    batch = collate(tokenise(tokenizer, examples), padding_id=0, sources={"mood": ["one", "two"], "names": ["one"]})
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, 10)
    assert batch["attention_mask"].sum(1).tolist() == [4, 3, 10]
    assert (batch["input_ids"][1, 3:] == 0).all()
    mood = batch["labels"]["mood"]
    assert mood["rows"].tolist() == [0, 0]
    assert mood["source"].tolist() == [0, 1]
    assert mood["weight"].tolist() == [1.0, 0.5]
    assert mood["target"].tolist() == [[0.0, 1.0]] * 2
    assert batch["teachers"]["mood"]["rows"].tolist() == [1]
    names = batch["labels"]["names"]
    assert names["rows"].tolist() == [2]
    # Tokens 1 and 7: both mentions, after [CLS].
    assert names["span"].tolist() == [[0, 0.5, 0, 0, 0, 0, 0, 0.5, 0, 0]]


def test_a_label_of_a_name_that_was_cut_off_is_dropped(tokenizer: Tokenizer) -> None:
    examples = [Example(text="firma holds , firmb plunges", labels=(about("firma"), about("firmb")))]
    read = TrainingSet(examples, tokenizer, max_tokens=5)[0, 0]
    assert [mark.label.entity for mark in read.labels] == ["firma"]


def test_texts_are_augmented_anew_at_each_draw_and_the_same_way_at_the_same_draw(tokenizer: Tokenizer) -> None:
    def swap(example: Example, order: random.Random) -> Example:
        new = order.choice(["firmx", "firmy", "firmz"])
        return Example(text=example.text.replace("firma", new), labels=(about(new),))

    examples = [Example(text="firma soars", labels=(about("firma"),))]
    read = TrainingSet(examples, tokenizer, max_tokens=16, augmentation=swap, seed=1)
    draws = [read[0, number] for number in range(20)]
    assert len({tuple(draw.ids) for draw in draws}) == 3
    assert [draw.ids for draw in draws] == [read[0, number].ids for number in range(20)]
    assert all(draw.labels[0].tokens == (1,) for draw in draws)


def test_a_batch_without_any_label_left_still_has_a_shape(tokenizer: Tokenizer) -> None:
    batch = collate(tokenise(tokenizer, [Example(text="firma", labels=())]), padding_id=0, sources={})
    assert batch["labels"] == batch["teachers"] == {}
    assert torch.equal(batch["attention_mask"], torch.ones((1, 3), dtype=torch.int64))


def test_names_beyond_the_cut_are_counted_by_task(tokenizer: Tokenizer) -> None:
    examples = [
        Example(text="firma holds , firmb plunges", labels=(about("firma"), about("firmb"), about(task="topic"))),
        Example(text="holds holds holds firma", labels=(about("firma", task="names"),)),
    ]
    assert TrainingSet(examples, tokenizer, max_tokens=5).cut_off() == {"mood": (1, 2), "names": (1, 1)}

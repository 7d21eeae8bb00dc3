"""Splits by story."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from models.training.splits import folds, hold_out, stories

STORY = [
    "Acme Corp cuts full-year outlook after weak demand in Europe",
    "Acme Corp cuts full-year outlook after weak demand in Europe - wire",
    "ACME Corp cuts full-year outlook after weak demand in Europe and Asia",
]
OTHERS = [
    "Oil rises as producers agree to keep output steady",
    "Central bank holds rates and signals patience",
    "Airline orders forty jets in the largest deal of the show",
]


def test_texts_that_nearly_repeat_each_other_are_one_story() -> None:
    groups = stories([STORY[0], *OTHERS, *STORY[1:]])
    assert groups[0] == groups[4] == groups[5]
    assert len(set(groups)) == 4


def test_texts_without_words_are_stories_of_their_own_unless_they_are_the_same() -> None:
    groups = stories(["!!!", "???", "!!!"])
    assert groups[0] == groups[2] != groups[1]


def test_a_story_is_never_on_both_sides() -> None:
    texts = [f"{number} {number * 7} {story}" for number in range(200) for story in STORY]
    held = hold_out(texts, share=0.3)
    groups = stories(texts)
    assert {group for group, is_held in zip(groups, held, strict=True) if is_held}.isdisjoint(
        group for group, is_held in zip(groups, held, strict=True) if not is_held
    )


def test_about_the_asked_share_is_held_out_and_another_seed_holds_out_others() -> None:
    choose = random.Random(0)
    texts = [" ".join(str(choose.randrange(10**6)) for _ in range(8)) for _ in range(2000)]
    held = hold_out(texts, share=0.1)
    assert 0.07 < held.mean() < 0.13
    assert (held != hold_out(texts, share=0.1, seed=1)).any()


def test_the_split_neither_depends_on_order_nor_moves_when_stories_are_added() -> None:
    choose = random.Random(0)
    texts = [" ".join(str(choose.randrange(10**6)) for _ in range(8)) for _ in range(500)]
    held = dict(zip(texts, hold_out(texts, share=0.5), strict=True))
    later = [*OTHERS, *reversed(texts)]
    again = dict(zip(later, hold_out(later, share=0.5), strict=True))
    assert all(again[text] == held[text] for text in texts)


def test_folds_cover_everything_evenly_and_a_story_is_in_one_fold() -> None:
    texts = _random_texts(1500) + STORY
    fold = folds(texts, 5)
    assert np.bincount(fold, minlength=5).min() > 230
    assert len(set(fold[-len(STORY) :])) == 1
    assert (fold != folds(texts, 5, seed=1)).any()


def test_folds_do_not_depend_on_what_is_held_out_at_the_same_seed() -> None:
    texts = _random_texts(3000)
    held, fold = hold_out(texts, share=0.2), folds(texts, 5)
    shares = [held[fold == number].mean() for number in range(5)]
    assert max(shares) < 0.3


def test_one_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 folds"):
        folds(OTHERS, 1)


def test_a_stratified_side_has_each_labels_share_and_so_has_every_fold() -> None:
    labels = [{"rare" if number % 50 == 0 else "common", f"source {number % 3}"} for number in range(2000)]
    texts = _random_texts(2000)
    held = hold_out(texts, share=0.1, labels=labels)
    fold = folds(texts, 4, labels=labels)
    for label in ("rare", "common", "source 0", "source 1", "source 2"):
        has = np.array([label in names for names in labels])
        assert abs(held[has].sum() - 0.1 * has.sum()) <= 1, label
        assert np.ptp(np.bincount(fold[has], minlength=4)) <= 2, label


def test_stratifying_keeps_stories_together_whatever_their_labels_and_size() -> None:
    texts, labels = [], []
    for number, text in enumerate(_random_texts(300)):
        for copy in range(1 + number % 7):
            texts.append(f"{text} {copy}")
            labels.append({"ab"[(number + copy) % 2]})
    groups = stories(texts)
    for parts in (hold_out(texts, share=0.2, labels=labels), folds(texts, 3, labels=labels)):
        assert len(set(zip(groups, parts.tolist(), strict=True))) == len(set(groups))
    held = hold_out(texts, share=0.2, labels=labels)
    # Not the smallest stories only: those of seven are held out as often as the others.
    sizes = Counter(groups)
    large = np.array([sizes[group] == 7 for group in groups])
    assert 0.1 < held[large].mean() < 0.3
    assert abs(held.mean() - 0.2) < 0.01


def test_a_label_of_one_story_stays_where_more_is_to_be() -> None:
    labels = [{"once"}] + [{"often"}] * 99
    held = hold_out(_random_texts(100), share=0.1, labels=labels)
    assert not held[0]
    assert held.sum() == 10


def test_texts_without_labels_are_split_too() -> None:
    held = hold_out(_random_texts(200), share=0.25, labels=[()] * 200)
    assert held.sum() == 50


def _random_texts(count: int) -> list[str]:
    choose = random.Random(0)
    return [" ".join(str(choose.randrange(10**6)) for _ in range(8)) for _ in range(count)]

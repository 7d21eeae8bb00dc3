"""Splits by story."""

from __future__ import annotations

import random

from models.training.splits import hold_out, stories

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

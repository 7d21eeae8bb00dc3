"""Which texts are worth labelling."""

from __future__ import annotations

import math

import pytest

from domain.errors import InvalidInput
from models.labelling import Measure, choose, uncertainty

SHIPS = "Cargo ships wait for days outside the harbour of Northgate"
RATES = "Central bank leaves rates alone and hints at a cut in spring"
WHEAT = "Wheat futures climb as drought spreads over the plains"


def test_entropy_is_0_for_certainty_and_1_for_ignorance() -> None:
    assert uncertainty({"a": 1.0, "b": 0.0, "c": 0.0}, Measure.ENTROPY) == 0
    assert uncertainty({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, Measure.ENTROPY) == pytest.approx(1)
    # By hand: -(0.5 ln 0.5 + 2 · 0.25 ln 0.25) / ln 3 = 1.0397 / 1.0986
    assert uncertainty({"a": 0.5, "b": 0.25, "c": 0.25}, Measure.ENTROPY) == pytest.approx(
        1.5 * math.log(2) / math.log(3)
    )


def test_the_margin_sees_the_first_two_labels_only() -> None:
    assert uncertainty({"a": 0.2, "b": 0.7, "c": 0.1}, Measure.MARGIN) == pytest.approx(0.5)
    assert uncertainty({"a": 0.5, "b": 0.5, "c": 0.0}, Measure.MARGIN) == pytest.approx(1)
    # The two disagree about which of these is less sure.
    two, three = {"a": 0.5, "b": 0.5, "c": 0.0}, {"a": 0.4, "b": 0.3, "c": 0.3}
    assert uncertainty(two, Measure.MARGIN) > uncertainty(three, Measure.MARGIN)
    assert uncertainty(two, Measure.ENTROPY) < uncertainty(three, Measure.ENTROPY)


def test_a_task_of_any_number_of_labels_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one label for each text"):
        uncertainty({"fraud": 0.9, "recall": 0.8}, Measure.ENTROPY)


def test_the_least_sure_texts_come_first_and_certain_ones_never() -> None:
    assert choose([SHIPS, RATES, WHEAT], [0.2, 0.9, 0.0], limit=10) == [1, 0]
    assert choose([SHIPS, RATES, WHEAT], [0.2, 0.9, 0.5], limit=2) == [1, 2]


def test_of_a_story_one_text_is_asked() -> None:
    again = SHIPS + ", officials say"
    assert choose([SHIPS, again, RATES], [0.8, 0.9, 0.1], limit=3) == [1, 2]


def test_nothing_is_asked_that_repeats_what_is_labelled() -> None:
    again = SHIPS + ", officials say"
    assert choose([SHIPS, again, RATES], [0.8, 0.9, 0.1], limit=3, labelled=[0]) == [2]


def test_a_text_unlike_the_others_goes_before_one_that_is_as_unsure() -> None:
    near = "Cargo ships wait for tugs at the quay, pilots on strike again"
    assert choose([SHIPS, near, WHEAT], [0.9, 0.8, 0.8], limit=3) == [0, 2, 1]
    assert choose([SHIPS, near, WHEAT], [0.0, 0.8, 0.79], limit=1, labelled=[0]) == [2]


def test_there_may_be_nothing_to_choose_from() -> None:
    assert choose([], [], limit=3) == []
    assert choose(["", "!"], [0.5, 0.5], limit=3) == [0, 1], "texts without a word are still two texts"

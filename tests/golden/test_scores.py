"""The shipped model's scores of texts written for this purpose, as they were when its weights were committed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from domain.classification import Classification
from domain.ports import Classifier
from models import load_classifier

GOLDEN = json.loads((Path(__file__).parent / "scores.json").read_text(encoding="utf-8"))
ROWS: list[dict[str, Any]] = GOLDEN["scores"]

ELSEWHERE = 0.03
"""On another kind of processor sums are taken in another order, and an int8 activation may round the other way."""


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier(device="cpu")


@pytest.fixture(scope="module")
def batched(classifier: Classifier) -> list[Classification]:
    return classified(classifier, [row["text"] for row in ROWS])


def classified(classifier: Classifier, texts: Sequence[str]) -> list[Classification]:
    """With the golden names looked for in each."""
    return classifier.classify(texts, [GOLDEN["names"]] * len(texts))


def all_scores(answer: Classification) -> dict[str, Mapping[str, float]]:
    """By task, and by symbol."""
    return {**answer.tasks, **answer.entities}


def test_the_golden_scores_are_of_the_shipped_model(classifier: Classifier) -> None:
    assert str(classifier.model) == GOLDEN["model"], "new weights: run tests/golden/write_scores.py"


def test_scores_are_those_of_the_golden_file(batched: list[Classification]) -> None:
    for row, answer in zip(ROWS, batched, strict=True):
        golden = {**row["tasks"], **row["entities"]}
        found = all_scores(answer)
        assert found.keys() == golden.keys(), row["text"]
        for name, scores in golden.items():
            assert found[name] == pytest.approx(scores, abs=ELSEWHERE), (name, row["text"])


def test_alone_or_in_a_batch_or_among_others_a_text_has_the_same_scores(
    classifier: Classifier, batched: list[Classification]
) -> None:
    texts = [row["text"] for row in ROWS]
    alone = [classified(classifier, [text])[0] for text in texts]
    backwards = classified(classifier, texts[::-1])[::-1]
    among_others = classified(classifier, [*texts, *(f"{text} and more of it" for text in texts)])
    for others in (alone, backwards, among_others[: len(texts)]):
        for answer, other in zip(batched, others, strict=True):
            found = all_scores(other)
            for name, scores in all_scores(answer).items():
                assert found[name] == pytest.approx(scores, abs=1e-3)


def test_what_a_reader_would_not_doubt_the_model_does_not_either(batched: list[Classification]) -> None:
    sure = {
        "$NVT beats on earnings and revenue, lifts full-year guidance": "positive",
        "Northgate Bank to cut 4,000 jobs as loan losses mount": "negative",
        "Regional lender $FRB sinks another 25%, trading halted for volatility": "negative",
        "Halden Energy declares quarterly dividend of $0.42 per share, unchanged": "neutral",
    }
    labels = {row["text"]: answer.sentiment.label for row, answer in zip(ROWS, batched, strict=True)}
    assert {text: labels[text] for text in sure} == sure


def test_one_headline_is_good_for_one_and_bad_for_another(batched: list[Classification]) -> None:
    answer = next(one for row, one in zip(ROWS, batched, strict=True) if row["text"].startswith("Osten AG soars"))
    assert (answer.sentiment_of("OST").label, answer.sentiment_of("ARD").label) == ("positive", "negative")

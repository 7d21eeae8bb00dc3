"""The shipped model's scores of texts written for this purpose, as they were when its weights were committed."""

from __future__ import annotations

import json
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
    return classifier.classify([row["text"] for row in ROWS])


def test_the_golden_scores_are_of_the_shipped_model(classifier: Classifier) -> None:
    assert str(classifier.model) == GOLDEN["model"], "new weights: run tests/golden/write_scores.py"


def test_scores_are_those_of_the_golden_file(batched: list[Classification]) -> None:
    for row, answer in zip(ROWS, batched, strict=True):
        for task, scores in row["tasks"].items():
            assert answer.tasks[task] == pytest.approx(scores, abs=ELSEWHERE), row["text"]


def test_alone_or_in_a_batch_or_among_others_a_text_has_the_same_scores(
    classifier: Classifier, batched: list[Classification]
) -> None:
    texts = [row["text"] for row in ROWS]
    alone = [classifier.classify([text])[0] for text in texts]
    backwards = classifier.classify(texts[::-1])[::-1]
    among_others = classifier.classify([*texts, *(f"{text} and more of it" for text in texts)])
    for others in (alone, backwards, among_others[: len(texts)]):
        for answer, other in zip(batched, others, strict=True):
            for task, scores in answer.tasks.items():
                assert other.tasks[task] == pytest.approx(scores, abs=1e-3)


def test_what_a_reader_would_not_doubt_the_model_does_not_either(batched: list[Classification]) -> None:
    sure = {
        "$NVT beats on earnings and revenue, lifts full-year guidance": "positive",
        "Northgate Bank to cut 4,000 jobs as loan losses mount": "negative",
        "Regional lender $FRB sinks another 25%, trading halted for volatility": "negative",
        "Halden Energy declares quarterly dividend of $0.42 per share, unchanged": "neutral",
    }
    labels = {row["text"]: answer.sentiment.label for row, answer in zip(ROWS, batched, strict=True)}
    assert {text: labels[text] for text in sure} == sure

"""What is asked of a classifier, and what comes of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.classification import Classification, ModelRef
from domain.errors import InvalidInput
from domain.ports import Names
from models import figures
from models.drift import Distribution
from models.evaluation.calibration import at_temperature
from models.evaluation.evaluate import Policy, Unit, evaluate
from models.evaluation.keep import keep_figures, keep_temperature
from models.evaluation.questions import Questions, from_rows
from models.evaluation.text import text
from models.figures import Measured
from models.folder import Kind, ModelSettings, write_settings
from models.training.data import Row

SENTIMENTS = ("negative", "neutral", "positive")
QUICK = Policy(latency=False)


class Rule:
    """A classifier whose answers are looked up by word; what it doesn't know it is unsure of."""

    languages = frozenset({"en"})

    def __init__(self, tasks: Mapping[str, Mapping[str, Mapping[str, float]]], *, name: str = "rule") -> None:
        """Task → word → label probabilities, `*` for texts without any of the words."""
        self.model = ModelRef(name=name, version="1")
        self.asked: list[str] = []
        self._tasks = tasks

    def prepare(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[str]:
        return list(texts)

    def infer(self, prepared: list[str]) -> list[Classification]:  # type: ignore[override]
        return self.classify(prepared)

    def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
        self.asked += texts
        return [self._answer(text, names[number] if names else {}) for number, text in enumerate(texts)]

    def _answer(self, text: str, names: Names) -> Classification:
        tasks = {task: self._scores(by_word, text) for task, by_word in self._tasks.items()}
        entities = {}
        for symbol in names:
            if symbol in text:
                clause = next(part for part in text.split(",") if symbol in part)
                entities[symbol] = self._scores(self._tasks["sentiment"], clause)
        return Classification(tasks=tasks, model=self.model, input_hash="", entities=entities)

    def _scores(self, by_word: Mapping[str, Mapping[str, float]], text: str) -> Mapping[str, float]:
        return next((scores for word, scores in by_word.items() if word in text), by_word["*"])


MOODS = {
    "falls": {"negative": 0.8, "neutral": 0.1, "positive": 0.1},
    "rises": {"negative": 0.1, "neutral": 0.1, "positive": 0.8},
    "*": {"negative": 0.2, "neutral": 0.6, "positive": 0.2},
}


def rows(*labelled: tuple[str, str], source: str = "some", entity: str | None = None) -> list[Row]:
    return [
        Row(text=text, shares={label: 1.0}, source=source, file=Path("rows.jsonl"), line=number, entity=entity)
        for number, (text, label) in enumerate(labelled, start=1)
    ]


def sentiment(labelled: Sequence[Row]) -> Questions:
    return from_rows(labelled, task="sentiment", kind=Kind.SINGLE, labels=SENTIMENTS)


ASKED = sentiment(
    [
        *rows(("oil falls", "negative"), ("$AAPL rises", "positive"), ("gold holds", "neutral"), source="one"),
        *rows(("tin falls after a strike", "positive"), ("$MSFT unchanged", "neutral"), source="two"),
    ]
)


def test_figures_are_given_for_all_rows_and_for_each_source() -> None:
    report = evaluate(Rule({"sentiment": MOODS}), ASKED, policy=QUICK)
    assert (report.whole.rows, report.whole.headline.value) == (5, pytest.approx(4 / 5))
    assert {source: part.headline.value for source, part in report.sources.items()} == {"one": 1.0, "two": 0.5}
    assert report.confusion == ((1, 0, 0), (0, 2, 0), (1, 0, 1))
    assert report.slices["with a ticker"].rows == 2
    assert report.whole.answered is not None
    assert report.whole.answered.labels == {"negative": 2, "neutral": 2, "positive": 1}
    assert report.latency is None


@pytest.mark.parametrize(
    "shares", [{"negative": 0.24, "neutral": 0.44, "positive": 0.32}, {"negative": 0.5, "positive": 0.5}]
)
def test_a_row_of_which_no_label_has_more_than_half_has_no_answer_to_be_measured_by(shares: dict[str, float]) -> None:
    shared = replace(rows(("oil holds, tin falls", "neutral"), source="mixed")[0], shares=shares)
    mostly = replace(rows(("zinc falls", "negative"), source="two")[0], shares={"negative": 0.6, "neutral": 0.4})
    asked = sentiment([*rows(("oil falls", "negative"), ("gold holds", "neutral"), source="one"), shared, mostly])
    assert asked.sources == ("one", "one", "two")
    assert asked.truth[2].tolist() == [True, False, False]


def test_intervals_by_story_are_wider_where_stories_repeat() -> None:
    repeated = [(f"oil falls on {day}", "negative") for day in ("monday", "tuesday", "friday")] * 10
    others = [(f"{word} rises", "negative") for word in ("tin", "zinc", "gold", "wheat", "copper", "iron")]
    asked = sentiment(rows(*repeated, *others, ("calm", "neutral")))
    by = {
        unit: evaluate(Rule({"sentiment": MOODS}), asked, policy=Policy(latency=False, unit=unit)).whole.headline
        for unit in Unit
    }
    assert by[Unit.STORY].value == by[Unit.ROW].value
    assert by[Unit.STORY].high - by[Unit.STORY].low > 2 * (by[Unit.ROW].high - by[Unit.ROW].low)


def test_two_models_are_held_against_each_other_on_the_same_rows() -> None:
    timid = Rule({"sentiment": {"*": MOODS["*"]}}, name="timid")
    report = evaluate(Rule({"sentiment": MOODS}), ASKED, against=timid, policy=QUICK)
    against = report.whole.against
    assert against is not None
    assert (against.first, against.second) == ("rule@1", "timid@1")
    assert (against.accuracy_first, against.accuracy_second) == (pytest.approx(0.8), pytest.approx(0.4))
    assert (against.mcnemar.only_first, against.mcnemar.only_second, against.mcnemar.p_value) == (2, 0, 0.5)
    assert against.agreement == pytest.approx(2 / 5)
    assert "timid@1" in text(report)


def test_the_temperature_that_is_served_is_undone_before_another_is_fitted() -> None:
    hot = evaluate(Rule({"sentiment": MOODS}), ASKED, temperature=2.0, policy=QUICK)
    cold = evaluate(Rule({"sentiment": MOODS}), ASKED, policy=QUICK)
    assert hot.temperature_fitted == pytest.approx(2 * cold.temperature_fitted)
    served = hot.whole.calibration.served
    assert served == cold.whole.calibration.served == pytest.approx(cold.whole.calibration.unscaled)
    assert hot.whole.calibration.unscaled != pytest.approx(served)


def test_a_text_is_asked_once_for_all_its_names_and_an_unnamed_one_gets_the_sentiment_of_the_text() -> None:
    headline = "Tesla rises, Ford falls"
    labelled = [
        *rows((headline, "positive"), entity="Tesla"),
        *rows((headline, "negative"), entity="Ford"),
        *rows(("Ford falls again", "negative"), entity="Nissan"),
        *rows(("Ford unchanged", "neutral"), entity="Ford"),
    ]
    asked = from_rows(labelled, task="entity_sentiment", kind=Kind.ENTITY, labels=SENTIMENTS)
    classifier = Rule({"sentiment": MOODS})
    report = evaluate(classifier, asked, policy=QUICK)
    assert classifier.asked.count(headline) == 1
    assert report.whole.headline.value == 1.0
    assert report.names_not_found == 1
    assert report.slices["several labels in the text"].rows == 2
    assert report.slices["one label in the text"].rows == 2


def test_a_multi_label_task_has_f1_and_average_precision_and_no_confusion_matrix() -> None:
    themes = {
        "bank": {"credit": 0.9, "fraud": 0.2},
        "lender": {"credit": 0.7, "fraud": 0.6},
        "*": {"credit": 0.1, "fraud": 0.4},
    }
    labelled = [
        Row(text=text, shares=dict.fromkeys(labels, 1.0), source="some", file=Path("rows.jsonl"), line=1)
        for text, labels in (("bank", ["credit"]), ("lender", ["credit", "fraud"]), ("shop", []), ("pub", ["fraud"]))
    ]
    asked = from_rows(labelled, task="themes", kind=Kind.MULTI, labels=("credit", "fraud"))
    report = evaluate(Rule({"themes": themes}), asked, policy=QUICK)
    assert report.whole.figures["micro_f1"].value == pytest.approx(2 * 3 / (2 * 3 + 1))
    assert [row.f1 for row in report.by_label] == pytest.approx([1.0, 2 / 3])
    assert [row.average_precision for row in report.by_label] == pytest.approx([1.0, 1 / 2 + 2 / 3 * 1 / 2])
    assert (report.confusion, report.selective, report.whole.answered) == ((), (), None)
    assert "average precision" in text(report)


def test_the_digest_names_what_is_asked_and_what_is_right_in_any_order() -> None:
    labelled = rows(("oil falls", "negative"), ("gold rises", "positive"))
    whole = np.array([True, True])
    digest = sentiment(labelled).digest(whole)
    assert sentiment(labelled[::-1]).digest(whole) == digest
    assert sentiment(rows(("oil falls", "neutral"), ("gold rises", "positive"))).digest(whole) != digest
    assert sentiment(labelled).digest(np.array([True, False])) != digest


def test_the_digest_of_several_labels_does_not_depend_on_their_order_in_the_model() -> None:
    labelled = [
        Row(text=text, shares=dict.fromkeys(labels, 1.0), source="some", file=Path("rows.jsonl"), line=1)
        for text, labels in (("lender", ["credit", "fraud"]), ("shop", []))
    ]
    both = [
        from_rows(labelled, task="themes", kind=Kind.MULTI, labels=labels)
        for labels in (("credit", "fraud"), ("fraud", "credit"))
    ]
    assert both[0].digest(np.array([True, True])) == both[1].digest(np.array([True, True]))


def folder_of(folder: Path, **settings: Any) -> Path:
    """A model folder without a network, to keep figures in."""
    folder.mkdir()
    given = {
        "tasks": {"sentiment": SENTIMENTS},
        "languages": ("en",),
        "normaliser": "1",
        "window_tokens": 8,
        **settings,
    }
    write_settings(folder, ModelSettings(name="rule", **given))
    return folder


def test_with_a_new_temperature_the_reference_of_the_drift_is_what_the_new_version_says(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model")
    report = evaluate(Rule({"sentiment": MOODS}), ASKED, policy=QUICK)
    keep_figures(folder, report)
    figures.keep(
        folder, "older", Measured(task="sentiment", data="x", rows=1, accuracy=1, answered=report.whole.answered)
    )
    figures.keep(folder, "topics", Measured(task="topic", data="x", rows=1, accuracy=1, answered=report.whole.answered))
    before = figures.reference(figures.of_folder(folder))
    fitted = keep_temperature(folder, report).temperatures["sentiment"]

    scores = np.array([[*MOODS[word].values()] for word in ("falls", "rises", "*")])
    falls, rises, calm = at_temperature(scores, fitted, multi=False).tolist()
    served = [dict(zip(SENTIMENTS, row, strict=True)) for row in (falls, rises, calm, falls, calm)]
    kept = figures.of_folder(folder)
    assert figures.reference(kept)["sentiment"].mean_confidence == pytest.approx(
        Distribution.count(served).mean_confidence, abs=1e-4
    )
    assert figures.reference(kept)["sentiment"].mean_confidence != pytest.approx(before["sentiment"].mean_confidence)
    assert "answered" not in kept["older"], "nobody knows"
    assert figures.reference(kept)["topic"] == before["topic"], "of another task"
    assert kept["sentiment/one"]["macro_f1"] == 1.0


def test_the_micro_f1_of_many_labels_is_not_held_beside_the_share_of_rows_all_right(tmp_path: Path) -> None:
    themes = {"bank": {"credit": 0.9, "fraud": 0.2}, "*": {"credit": 0.1, "fraud": 0.9}}
    labelled = [
        Row(text=text, shares=dict.fromkeys(labels, 1.0), source="some", file=Path("rows.jsonl"), line=1)
        for text, labels in (("bank", ["credit", "fraud"]), ("shop", ["fraud"]))
    ]
    asked = from_rows(labelled, task="themes", kind=Kind.MULTI, labels=("credit", "fraud"))
    rule = Rule({"themes": themes})
    folder = folder_of(tmp_path / "model", tasks={"themes": ("credit", "fraud")}, kinds={"themes": Kind.MULTI})
    keep_figures(folder, evaluate(rule, asked, full_precision=rule, policy=QUICK))
    kept = figures.of_folder(folder)["themes/some"]
    assert (kept["accuracy"], kept["agreement"]) == (0.8, 1.0)
    assert "accuracy_full_precision" not in kept


def test_rows_that_cannot_be_measured_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"no row to measure task 'sentiment'"):
        sentiment([])
    with pytest.raises(InvalidInput, match=r"every row has the label 'negative'"):
        sentiment(rows(("oil falls", "negative"), ("tin falls", "negative")))


def test_what_is_shown_says_which_checks_are_past_their_limit() -> None:
    report = evaluate(Rule({"sentiment": MOODS}), ASKED, policy=Policy(latency=False, robustness=True))
    assert [check.name for check in report.failed] == ["typos"]
    shown = text(report)
    assert "past its limit" in next(line for line in shown.splitlines() if line.startswith("typos"))
    assert "holds" in next(line for line in shown.splitlines() if line.startswith("polarity gap, person's gender"))
    assert report.as_json()["robustness"][2]["holds"] is False

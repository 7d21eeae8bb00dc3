"""Figures in the model folder, and whether one model is worse than another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidInput
from models import figures
from models.drift import Distribution
from models.figures import Measured
from models.folder import ModelSettings, read_settings, write_settings

ANSWERED = Distribution.count([{"negative": 0.7, "positive": 0.3}] * 3)


def measured(accuracy: float, *, task: str = "sentiment", data: str = "d1", **more: Any) -> dict[str, Any]:
    return Measured(task=task, data=data, rows=1000, accuracy=accuracy, **more).as_json()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = ModelSettings(
        name="tiny",
        tasks={"sentiment": ("negative", "positive")},
        languages=("en",),
        normaliser="1",
        window_tokens=16,
        training={"recipe": {"epochs": 3}},
    )
    write_settings(tmp_path, settings)
    return tmp_path


def test_figures_are_kept_by_set_and_change_no_version(folder: Path) -> None:
    version = read_settings(folder).ref
    assert figures.of_folder(folder) == {}

    first = Measured(task="sentiment", data="d1", rows=10, accuracy=0.8, answered=ANSWERED)
    figures.keep(folder, "headlines", first, macro_f1=0.75)
    figures.keep(folder, "tweets", Measured(task="sentiment", data="d2", rows=20, accuracy=0.7))
    figures.keep(folder, "tweets", Measured(task="sentiment", data="d2", rows=20, accuracy=0.9))

    kept = figures.of_folder(folder)
    assert kept["headlines"]["macro_f1"] == 0.75
    assert figures.read(kept)["headlines"] == first
    assert figures.read(kept)["tweets"].accuracy == 0.9
    assert read_settings(folder).ref == version
    assert read_settings(folder).training["recipe"] == {"epochs": 3}


def test_the_reference_is_what_it_said_on_all_sets_of_a_task() -> None:
    kept = {
        "a": measured(0.9, answered=ANSWERED),
        "b": measured(0.8, data="d2", answered=ANSWERED),
        "c": measured(0.8, task="topic"),
    }
    assert figures.reference(kept) == {"sentiment": ANSWERED + ANSWERED}


def test_damaged_figures_name_their_set() -> None:
    for damaged in ({"task": "sentiment", "rows": "many"}, measured(0.9) | {"answered": {"labels": 1}}):
        with pytest.raises(InvalidInput, match="the figures on headlines are damaged") as refused:
            figures.read({"headlines": damaged})
        assert refused.value.reason == "bad_figures"


def test_a_lower_mean_accuracy_on_shared_sets_is_worse() -> None:
    champion = {"a": measured(0.90), "b": measured(0.80, data="d2"), "t": measured(0.7, task="topic", data="d3")}
    challenger = {"a": measured(0.91), "b": measured(0.78, data="d2"), "t": measured(0.75, task="topic", data="d3")}

    sentiment, topic = figures.compare(challenger, champion)
    assert sentiment.is_worse
    assert str(sentiment) == (
        "sentiment: accuracy 0.8450, the champion has 0.8500 (a 0.910 for 0.900, b 0.780 for 0.800)"
    )
    assert not topic.is_worse


def test_what_is_better_on_the_whole_or_equal_is_not_worse() -> None:
    champion = {"a": measured(0.90), "b": measured(0.80, data="d2")}
    (same,) = figures.compare(champion, champion)
    (better,) = figures.compare({"a": measured(0.89), "b": measured(0.83, data="d2")}, champion)
    assert not same.is_worse
    assert not better.is_worse


def test_only_the_same_rows_are_compared_whatever_the_set_is_called() -> None:
    assert figures.compare({"a": measured(0.1, data="other")}, {"a": measured(0.9)}) == []
    assert figures.compare({}, {"a": measured(0.9)}) == []
    (renamed,) = figures.compare({"renamed": measured(0.1)}, {"a": measured(0.9)})
    assert renamed.is_worse

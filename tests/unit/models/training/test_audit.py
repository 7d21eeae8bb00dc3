"""Labels that are probably wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.tiny_models import TREE, WORDS, tiny_config, tiny_data, tiny_encoder, write_rows

from domain.errors import InvalidInput
from models.training.audit import audit, clean, doubts
from models.training.config import Config
from models.training.examples import Corpus, Example, Label
from models.training.policies import Cleaning
from models.training.train_folds import train_folds

SURE = {"negative": (0.9, 0.05, 0.05), "neutral": (0.05, 0.9, 0.05), "positive": (0.05, 0.05, 0.9)}
MOODS = tuple(SURE)


@dataclass
class Said:
    """Teachers' answers by text."""

    answers: dict[str, Sequence[float]] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()

    def get(self, text: str, task: str, entity: str | None = None) -> Sequence[float] | None:
        return self.answers.get(text)

    def is_out_of_fold(self, text: str) -> bool:
        return text not in self.seen


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return tiny_config(tmp_path, tree=TREE)


def _example(text: str, label: str, source: str = "moods") -> Example:
    target = tuple(float(mood == label) for mood in MOODS)
    return Example(text=text, labels=(Label(task="sentiment", source=source, target=target),))


def _corpus(rows: Sequence[tuple[str, str]], held_out: Sequence[tuple[str, str]] = ()) -> Corpus:
    return Corpus(
        training=tuple(_example(text, label) for text, label in rows),
        held_out=tuple(_example(text, label) for text, label in held_out),
        out_of_fold=(),
    )


def _clear(count: int = 10) -> tuple[list[tuple[str, str]], dict[str, Sequence[float]]]:
    """Texts that are labelled as their teachers say, with confidence and without."""
    rows = [(f"{mood} {number}", mood) for mood in MOODS for number in range(count)]
    return rows, {text: SURE[mood] for text, mood in rows}


def test_a_label_that_confident_teachers_contradict_is_doubted_and_a_hesitant_no_is_not(config: Config) -> None:
    rows, answers = _clear()
    rows += [("wrong", "positive"), ("hard", "positive")]
    answers |= {"wrong": SURE["negative"], "hard": (0.5, 0.1, 0.4)}
    (doubt,) = doubts(config, _corpus(rows), Said(answers))
    assert (doubt.text, doubt.label, doubt.suggested) == ("wrong", "positive", "negative")
    assert (doubt.probability, doubt.suggested_probability) == (0.05, 0.9)


def test_a_class_that_teachers_are_seldom_sure_of_needs_less_confidence(config: Config) -> None:
    rows, answers = _clear()
    answers = {text: (0.4, 0.3, 0.3) if text.startswith("negative") else said for text, said in answers.items()}
    rows += [("wrong", "positive"), ("also", "negative")]
    answers |= {"wrong": (0.45, 0.3, 0.25), "also": (0.25, 0.45, 0.3)}
    assert [doubt.text for doubt in doubts(config, _corpus(rows), Said(answers))] == ["wrong"]


def test_a_label_that_teachers_give_most_to_is_not_doubted_for_a_class_that_they_hardly_know(config: Config) -> None:
    rows = [(f"neutral {number}", "neutral") for number in range(10)] + [("rare", "positive")]
    answers: dict[str, Sequence[float]] = {
        text: (0.0, 0.90 + number / 100, 0.1 - number / 100) for number, (text, _) in enumerate(rows)
    }
    answers["rare"] = (0.02, 0.96, 0.02)
    assert [doubt.text for doubt in doubts(config, _corpus(rows), Said(answers))] == ["rare"]


def test_sources_have_conventions_of_their_own(config: Config) -> None:
    rows, answers = _clear()
    corpus = _corpus(rows)
    # What one source calls neutral another calls positive, throughout.
    other = tuple(_example(f"mild {number}", "neutral", "headlines") for number in range(10))
    answers |= {example.text: (0.05, 0.15, 0.8) for example in other}
    assert doubts(config, replace(corpus, training=corpus.training + other), Said(answers)) == []


def test_teachers_that_saw_the_text_are_not_heard_and_held_out_texts_are_audited(config: Config) -> None:
    rows, answers = _clear()
    answers |= {"wrong": SURE["negative"], "held": SURE["neutral"]}
    corpus = _corpus([*rows, ("wrong", "positive")], [("held", "negative")])
    (doubt,) = doubts(config, corpus, Said(answers, seen=frozenset({"wrong"})))
    assert doubt.text == "held"
    assert doubt.held_out


def test_the_clearest_doubt_comes_first(config: Config) -> None:
    rows, answers = _clear()
    rows += [("one", "positive"), ("two", "positive")]
    answers |= {"one": (0.91, 0.0, 0.09), "two": (0.99, 0.01, 0.0)}
    assert [doubt.text for doubt in doubts(config, _corpus(rows), Said(answers))] == ["two", "one"]


@pytest.mark.parametrize("cleaning", Cleaning)
def test_doubtful_labels_are_dropped_or_softened_and_no_others(config: Config, cleaning: Cleaning) -> None:
    rows, answers = _clear()
    said = Said(answers | {"wrong": SURE["negative"]})
    corpus = _corpus([*rows, ("wrong", "positive")])
    policy = replace(config, distil=replace(config.distil, clean=cleaning))
    cleaned = clean(policy, corpus, said, doubts(policy, corpus, said))
    assert cleaned.training[:-1] == corpus.training[:-1]
    if cleaning is Cleaning.DROP:
        assert cleaned.training[-1].labels == ()
    else:
        assert cleaned.training[-1].labels[0].target == pytest.approx((0.45, 0.025, 0.525))


def test_an_audit_finds_turned_labels_and_says_where_they_stand(tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data")
    file = data / "moods.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    turned = range(0, len(rows), 25)
    for number in turned:
        rows[number]["label"] = next(mood for mood in WORDS if mood != rows[number]["label"])
    write_rows(file, rows)
    config = tiny_config(tiny_encoder(tmp_path / "encoder"), "epochs=6")
    train_folds(config, 2, out=tmp_path / "teachers", data_dir=data, device="cpu", report=_silent)
    asking = replace(config, distil=replace(config.distil, teachers=(str(tmp_path / "teachers"),)))
    lines: list[str] = []
    out = tmp_path / "new" / "doubts.jsonl"
    found = audit(asking, data_dir=data, out=out, device="cpu", report=lines.append, cache=tmp_path / "cache")
    written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(one["text"], one["line"]) for one in written] == [(one.text, one.line) for one in found]
    of_moods = {one["line"] for one in written if one["source"] == "moods"}
    right = of_moods & {number + 1 for number in turned}
    assert len(right) >= 0.8 * len(turned)
    assert len(right) >= 0.5 * len(of_moods)
    assert any(line.startswith("sentiment, moods: teachers out of fold agree with ") for line in lines)


def test_an_audit_without_teachers_is_refused(config: Config, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--folds"):
        audit(config, data_dir=tmp_path, out=tmp_path / "doubts.jsonl", device="cpu", report=_silent)


def _silent(_line: str) -> None:
    pass

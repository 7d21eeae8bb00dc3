"""Reads the labelled sets that the shipped model is trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.classification import SENTIMENT, TOPIC, Label
from domain.errors import PermanentError
from models.normalise import normalise

SENTIMENTS = tuple(label.value for label in Label)


@dataclass(frozen=True, kw_only=True)
class LabelledSet:
    """One JSON-lines file of texts with a label for one task. Rows whose label maps to None are left out."""

    name: str
    path: str
    task: str
    labels: Mapping[str, str | None] | None = None
    """Label in the file → label of the task; None: they are the same."""


SETS = (
    LabelledSet(
        name="twitter-sentiment",
        path="twitter-financial-news-sentiment/train.jsonl",
        task=SENTIMENT,
        labels={"bearish": "negative", "neutral": "neutral", "bullish": "positive"},
    ),
    LabelledSet(name="twitter-topic", path="twitter-financial-news-topic/train.jsonl", task=TOPIC),
    LabelledSet(
        name="sentfin",
        path="sentfin/train_headlines.jsonl",
        task=SENTIMENT,
        # A headline that is good for one company and bad for another has no sentiment of its own.
        labels={"negative": "negative", "neutral": "neutral", "positive": "positive", "conflicting": None},
    ),
)
TOPIC_NAMES = "twitter-financial-news-topic/label_names.json"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A normalised text with the index of its label in one task's labels."""

    text: str
    source: str
    task: str
    label: int


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Tasks (each with its labels, in the order of the heads' outputs) and the texts labelled for them."""

    tasks: Mapping[str, tuple[str, ...]]
    examples: tuple[Example, ...]


def read_corpus(data_dir: Path, sets: Sequence[LabelledSet] = SETS) -> Corpus:
    """Every labelled row under `data_dir`, in file order, empty texts left out.

    Raises PermanentError, naming file and line, for a missing file, a line that isn't a row, or an unknown label.
    """
    tasks = {SENTIMENT: SENTIMENTS, TOPIC: _topics(data_dir / TOPIC_NAMES)}
    examples = [example for labelled in sets for example in _examples(data_dir, labelled, tasks[labelled.task])]
    return Corpus(tasks=tasks, examples=tuple(examples))


def _topics(path: Path) -> tuple[str, ...]:
    """The topic names by their number in the file, `{"0": "Analyst Update", …}`."""
    names: dict[str, str] = json.loads(_read(path))
    return tuple(names[str(number)] for number in range(len(names)))


def _examples(data_dir: Path, labelled: LabelledSet, labels: Sequence[str]) -> Iterator[Example]:
    path = data_dir / labelled.path
    index = {label: number for number, label in enumerate(labels)}
    # Not splitlines: texts hold line separators (U+2028, U+0085) that end no row.
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text, label = normalise(row["text"]), row["label"]
            label = label if labelled.labels is None else labelled.labels[label]
            if label is None or not text:
                continue
            yield Example(text=text, source=labelled.name, task=labelled.task, label=index[label])
        except (ValueError, TypeError, KeyError) as error:
            raise PermanentError(f"{path}:{number}: not a row with a text and a known label ({error!r})") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PermanentError(f"cannot read {path}: {error.strerror}; --data-dir must hold the labelled sets") from error

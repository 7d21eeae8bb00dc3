"""Writes scores.json from texts.txt, names.csv and the shipped model; run it when new weights ship, and read the
difference."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from models import load_classifier

HERE = Path(__file__).parent


def names() -> dict[str, list[str]]:
    """Symbol → its names, looked for in every text."""
    found: dict[str, list[str]] = {}
    with (HERE / "names.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["symbol"], []).append(row["name"])
    return found


def rounded(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {label: round(score, 4) for label, score in by_label.items()} for name, by_label in sorted(scores.items())
    }


def main() -> None:
    classifier = load_classifier(device="cpu")
    texts: Sequence[str] = (HERE / "texts.txt").read_text(encoding="utf-8").splitlines()
    rows = [
        {
            "text": text,
            "label": answer.sentiment.label,
            "topic": answer.topic,
            "tasks": rounded(answer.tasks),
            "entities": rounded(answer.entities),
        }
        for text, answer in zip(texts, classifier.classify(texts, [names()] * len(texts)), strict=True)
    ]
    golden = {"model": str(classifier.model), "names": names(), "scores": rows}
    (HERE / "scores.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

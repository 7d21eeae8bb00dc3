"""Writes scores.json from texts.txt and the shipped model; run it when new weights ship, and read the difference."""

from __future__ import annotations

import json
from pathlib import Path

from models import load_classifier

HERE = Path(__file__).parent


def main() -> None:
    classifier = load_classifier(device="cpu")
    texts = (HERE / "texts.txt").read_text(encoding="utf-8").splitlines()
    rows = [
        {
            "text": text,
            "label": answer.sentiment.label,
            "topic": answer.topic,
            "tasks": {
                task: {label: round(score, 4) for label, score in scores.items()}
                for task, scores in answer.tasks.items()
            },
        }
        for text, answer in zip(texts, classifier.classify(texts), strict=True)
    ]
    golden = {"model": str(classifier.model), "scores": rows}
    (HERE / "scores.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

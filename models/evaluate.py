"""Measures a model folder on its held-out stories: `python -m models.evaluate FOLDER --data-dir DATA`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.ports import Classifier
from models.classifier import TextClassifier
from models.data import Corpus, Example, read_corpus
from models.folder import read_settings, write_settings
from models.load import load_classifier, load_tokenizer
from models.training.splits import hold_out

CALIBRATION_BINS = 15
KEPT = "held_out"
FIGURES = ("rows", "accuracy", "macro_f1", "calibration_error", "accuracy_full_precision", "agreement")
"""What `--write` keeps, and where in the folder's settings under `training`."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How a classifier does on one labelled set."""

    rows: int
    accuracy: float
    macro_f1: float
    """Mean over the labels that occur of 2·TP / (2·TP + FP + FN)."""
    calibration_error: float
    """Mean |accuracy − confidence| over 15 bins of equal mass (Nguyen and O'Connor 2015)."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows by true label, columns by answer, in the order of the task's labels."""


def held_out(corpus: Corpus, *, share: float, seed: int) -> dict[str, list[Example]]:
    """The examples that training left out, by source."""
    held = hold_out([example.text for example in corpus.examples], share=share, seed=seed)
    out: dict[str, list[Example]] = {}
    for example, is_held in zip(corpus.examples, held, strict=True):
        if is_held:
            out.setdefault(example.source, []).append(example)
    return out


def probabilities(classifier: Classifier, examples: Sequence[Example]) -> NDArray[np.float64]:
    """Of the labels of the examples' (one) task, shape (examples, labels)."""
    answers = classifier.classify([example.text for example in examples])
    return np.array(
        [list(answer.tasks[example.task].values()) for answer, example in zip(answers, examples, strict=True)]
    )


def quality(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> Quality:
    """`scores` of shape (rows, labels), at least one row; `labels` the true ones, shape (rows,)."""
    answers = scores.argmax(axis=1)
    confusion = np.zeros((scores.shape[1], scores.shape[1]), dtype=np.int64)
    np.add.at(confusion, (labels, answers), 1)
    right = confusion.diagonal()
    occurring = confusion.sum(axis=1) > 0
    f1 = 2 * right / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1), 1)
    return Quality(
        rows=len(labels),
        accuracy=round(float((answers == labels).mean()), 4),
        macro_f1=round(float(f1[occurring].mean()), 4),
        calibration_error=round(_calibration_error(scores.max(axis=1), answers == labels), 4),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def _calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, min(CALIBRATION_BINS, len(order)))
    return sum(len(part) * abs(float(right[part].mean() - confidence[part].mean())) for part in bins) / len(order)


def compare(folder: Path, corpus: Corpus) -> dict[str, dict[str, Any]]:
    """By source: the quality of the served model on its held-out rows, its accuracy in full precision (torch), how
    often the two agree, the largest difference of a probability, and the seconds each took."""
    from models.torch_backend import TorchBackend

    settings = read_settings(folder)
    recipe = settings.training["recipe"]
    served = load_classifier(folder, device="cpu")
    full = TextClassifier(
        settings,
        load_tokenizer(folder),
        TorchBackend(folder, settings, device="cpu"),
    )
    report: dict[str, dict[str, Any]] = {}
    for source, examples in held_out(corpus, share=recipe["held_out"], seed=recipe["seed"]).items():
        labels = np.array([example.label for example in examples])
        started = time.perf_counter()
        scores = probabilities(served, examples)
        between = time.perf_counter()
        exact = probabilities(full, examples)
        ended = time.perf_counter()
        report[source] = {
            **vars(quality(scores, labels)),
            "accuracy_full_precision": round(float((exact.argmax(axis=1) == labels).mean()), 4),
            "agreement": round(float((exact.argmax(axis=1) == scores.argmax(axis=1)).mean()), 4),
            "largest_difference": round(float(np.abs(exact - scores).max()), 4),
            "seconds": round(between - started, 2),
            "seconds_full_precision": round(ended - between, 2),
        }
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description=__doc__)
    parser.add_argument("folder", type=Path, help="a model folder")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with the labelled sets (models/data.py)")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in the folder, under training.{KEPT}")
    options = parser.parse_args(arguments)
    settings = read_settings(options.folder)
    report = compare(options.folder, read_corpus(options.data_dir))
    _print(report, settings.tasks)
    if options.write:
        kept = {source: {k: v for k, v in row.items() if k in FIGURES} for source, row in report.items()}
        write_settings(options.folder, replace(settings, training={**settings.training, KEPT: kept}))
    else:
        print(json.dumps(report))


def _print(report: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, Sequence[str]]) -> None:
    for source, row in report.items():
        print(source)
        for key, value in row.items():
            if key != "confusion":
                print(f"  {key.replace('_', ' '):24} {value}")
        names = next(labels for labels in tasks.values() if len(labels) == len(row["confusion"]))
        for name, counts in zip(names, row["confusion"], strict=True):
            print(f"    {name:28}", *(f"{count:4}" for count in counts))


if __name__ == "__main__":
    main()

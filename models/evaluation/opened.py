"""Opens what is to be measured: a model, and the questions that a file or a model's own training run has for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.errors import InvalidInput, PermanentError
from domain.ports import Classifier
from models.classifier import TextClassifier
from models.evaluation.questions import Questions, from_examples, from_rows
from models.folder import HEADS_FILE, OPENVINO_FILES, Kind, ModelSettings
from models.load import find_folder, load_classifier, own_folder
from models.refit import sister_of
from models.seen import known_of
from models.training.config import Config
from models.training.configure import config_from, read_config
from models.training.data import LabelMap, read_file


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model that can be asked."""

    ref: str
    classifier: TextClassifier

    @property
    def settings(self) -> ModelSettings:
        return self.classifier.settings

    @property
    def folder(self) -> Path:
        """Its model folder, where things can be stored. Raises PermanentError when it has none: a checkpoint that is
        not ours, or one task of a model (`TASK=MODEL`)."""
        try:
            return find_folder(self.ref)
        except PermanentError as error:
            raise PermanentError(
                f"nothing can be stored in {self.ref}: give the path of a model folder, or the name of one that ships"
            ) from error

    def knows(self, questions: Questions) -> str | None:
        """What to say where its folder says that it was trained on some of the texts."""
        folder = own_folder(self.ref)
        known = known_of(folder, questions.texts) if folder else None
        return known and f"{self.ref} {known}"

    def kind(self, task: str) -> Kind:
        return self.settings.kinds.get(task, Kind.SINGLE)

    def temperature(self, task: str) -> float:
        return self.settings.temperatures.get(task, 1.0)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where in a file the rows' parts are."""

    text: str = "text"
    label: str = "label"
    entity: str = "entity"
    """Entity tasks only."""
    source: str | None = None
    """None: the file is one source."""


def open_model(ref: str, *, device: str = "auto") -> Opened:
    """Raises PermanentError as `load_classifier` does, and for several models at once."""
    classifier = load_classifier(ref, device=device)
    if not isinstance(classifier, TextClassifier):
        raise PermanentError(f"{ref!r} is several models; evaluate one after the other")
    return Opened(ref=ref, classifier=classifier)


def in_full_precision(model: Opened) -> Classifier | None:
    """The same weights in torch on the processor; None where the folder has but one form of them, or where there is no
    torch to run them. Raises PermanentError as `load_classifier` does."""
    files = model.settings.files
    # A checkpoint that is not ours has neither file: it is made int8 where it is loaded.
    has_both_or_neither = (OPENVINO_FILES[0] in files) == (HEADS_FILE in files)
    if not has_both_or_neither or importlib.util.find_spec("torch") is None:
        return None
    return load_classifier(model.ref, device="cpu", int8=False)


def only_task(settings: ModelSettings, task: str | None) -> str:
    """`task`, or the only one that the model has. Raises InvalidInput, naming its tasks."""
    if task is None and len(settings.tasks) == 1:
        return next(iter(settings.tasks))
    if task is None or task not in settings.tasks:
        asked = "give --task" if task is None else f"{settings.name} has no task {task!r}"
        raise InvalidInput("evaluation_task", f"{asked}; it has {', '.join(settings.tasks)}")
    return task


def check_same_labels(model: Opened, other: Opened, task: str) -> None:
    """Raise InvalidInput unless both models answer the task with the same labels."""
    ours, theirs = set(model.settings.tasks[task]), set(other.settings.tasks.get(task, ()))
    if ours != theirs:
        raise InvalidInput(
            "evaluation_task",
            f"{other.ref} cannot be compared on task {task!r}: its labels are {', '.join(sorted(theirs)) or 'none'}, "
            f"those of {model.ref} {', '.join(sorted(ours))}",
        )


def questions_of_file(model: Opened, path: Path, task: str, *, columns: Columns, label_map: LabelMap) -> Questions:
    """Raises InvalidInput, naming file and line, for what `models.training.data.read_file` refuses."""
    labels, kind = model.settings.tasks[task], model.kind(task)
    rows = read_file(
        path,
        text=columns.text,
        label=columns.label,
        entity=columns.entity if kind is Kind.ENTITY else None,
        source_column=columns.source,
        labels=labels,
        kind=kind,
        label_map=label_map,
    )
    return from_rows(rows, task=task, kind=kind, labels=labels)


def questions_held_out(
    model: Opened, data_dir: Path, tasks: Sequence[str], *, config: str | None = None
) -> dict[str, Questions]:
    """By task: what the model's training run held out of its files in `data_dir`, by the configuration that its folder
    keeps, or by the one named. Raises InvalidInput for a model without one, for tasks that it does not have, and for
    files that can't be read."""
    from models.training.examples import read_held_out

    held_out = read_held_out(_config(model, config), data_dir)
    if not held_out:
        raise InvalidInput("evaluation_data", f"{_nothing_held_out(model, config)}; give rows with --data")
    return {
        task: from_examples(held_out, task=task, kind=model.kind(task), labels=model.settings.tasks[task])
        for task in tasks
    }


def _nothing_held_out(model: Opened, config: str | None) -> str:
    if config is None and (sister := sister_of(model.settings)):
        return f"{model.ref} has learnt everything: what its folder keeps was found of {sister['model']}"
    return f"{config or f'the training of {model.ref}'} holds nothing out"


def _config(model: Opened, ref: str | None) -> Config:
    if ref is not None:
        return read_config(ref)
    kept = model.settings.training.get("config")
    if kept is None:
        raise InvalidInput(
            "evaluation_data",
            f"{model.ref} does not say what it was trained with; give --config, or a file with --data",
        )
    return config_from(kept)

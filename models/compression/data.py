"""Which labelled texts a model is made smaller, and measured, with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domain.errors import InvalidInput
from models.compression.policy import Policy
from models.folder import Kind, ModelSettings
from models.training.config import Config
from models.training.configure import config_from, read_config
from models.training.policies import Averaging, DataFile, Distil, HeldOut, Method, Optimiser, Task


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One file, as the command line names it."""

    file: Path
    task: str
    held_out: bool = False
    """Measure on it, and leave all that nearly repeats it out of recovery."""


def of_training(settings: ModelSettings, *, config: str | None = None) -> Config:
    """What the model was trained with, by its folder or by the configuration named: the files, and what was held out of
    them. Raises InvalidInput when the folder doesn't say, and as `read_config`."""
    if config is not None:
        return read_config(config)
    kept = settings.training.get("config")
    if kept is None:
        raise InvalidInput(
            "compression_data",
            f"{settings.name} does not say which files it was trained with: give --config, or files with --data",
        )
    return config_from(kept)


def of_files(
    settings: ModelSettings,
    files: Sequence[Labelled],
    *,
    label_map: Mapping[str, str | None],
    text: str = "text",
    label: str = "label",
    entity: str = "entity",
) -> Config:
    """Files with these columns; where none of them is held out, a tenth of the stories is. Raises InvalidInput for a
    task that the model doesn't have, for one that is only measured, and for a file that isn't there."""
    if all(one.held_out for one in files):
        raise InvalidInput("compression_data", "there is nothing to calibrate or to learn from: give files with --data")
    for one in files:
        _check_task(settings, one.task)
        if not one.file.is_file():
            raise InvalidInput("compression_data", f"there is no file {one.file}")
    learnt = {one.task for one in files if not one.held_out}
    for one in files:
        if one.task not in learnt:
            raise InvalidInput(
                "compression_data",
                f"{one.file} measures task {one.task!r}, of which no file is learnt: give --data {one.task}=FILE too",
            )
    return Config(
        name=settings.name,
        encoder="",
        tasks={task: policy for task, policy in _tasks(settings, {}).items() if task in {one.task for one in files}},
        data=tuple(
            DataFile(
                source=one.file.stem,
                file=str(one.file.absolute()),
                task=one.task,
                text=text,
                label=label,
                entity=entity if settings.kinds.get(one.task) is Kind.ENTITY else None,
                map=label_map,
                held_out=one.held_out,
            )
            for one in files
        ),
        held_out=HeldOut(share=0.0 if any(one.held_out for one in files) else HeldOut().share),
    )


def recovery(config: Config, settings: ModelSettings, policy: Policy, *, start: Path, teacher: Path) -> Config:
    """The run in which what is left of a model, in the folder `start`, learns from the labels of `config` and from all
    that the whole model, in `teacher`, says of their texts: for every task that it has, so that none is forgotten.

    Raises InvalidInput when the configuration's tasks or labels are not the model's.
    """
    for task, wanted in config.tasks.items():
        _check_task(settings, task)
        if wanted.labels != settings.tasks[task] or wanted.kind is not settings.kinds.get(task, Kind.SINGLE):
            raise InvalidInput(
                "compression_data",
                f"task {task!r} has other labels than the model's, {', '.join(settings.tasks[task])}, in this order",
            )
    return replace(
        config,
        name=settings.name,
        encoder=str(start),
        revision=None,
        tasks=_tasks(settings, config.tasks),
        pooling=settings.pooling,
        languages=settings.languages,
        window_tokens=settings.window_tokens,
        max_tokens=min(config.max_tokens, settings.window_tokens),
        method=Method(),
        optimiser=Optimiser(learning_rate=policy.learning_rate),
        averaging=Averaging(),
        distil=Distil(teachers=(str(teacher),), unlabelled=config.distil.unlabelled),
        epochs=max(1, policy.recover_epochs),
        max_steps=None,
        report_to=(),
        batch_size=policy.batch_size,
        accumulate=1,
        bf16=policy.bf16,
        seed=policy.seed,
        early_stopping=None,
        keep_best=False,
    )


def _tasks(settings: ModelSettings, given: Mapping[str, Task]) -> dict[str, Task]:
    return {
        task: given.get(task) or Task(labels=labels, kind=settings.kinds.get(task, Kind.SINGLE))
        for task, labels in settings.tasks.items()
    }


def _check_task(settings: ModelSettings, task: str) -> None:
    if task not in settings.tasks:
        raise InvalidInput(
            "compression_data", f"{settings.name} has no task {task!r}; it has {', '.join(settings.tasks)}"
        )

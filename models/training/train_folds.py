"""Trains teachers fold by fold, each on all stories but those of its fold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from domain.errors import InvalidInput
from models.folder import SETTINGS_FILE, read_settings
from models.training.config import Config
from models.training.configure import config_from
from models.training.hooks import Report
from models.training.run import NOT_OF_THE_RUN, train


def train_folds(
    config: Config,
    folds: int,
    *,
    out: Path,
    data_dir: Path,
    resume: bool | None = None,
    device: str = "auto",
    report: Report = lambda line: print(line, flush=True),
) -> list[Path]:
    """Train `folds` models, `out`/fold-0 and on: each leaves out another fold of the stories that aren't held out, of
    which it can then speak without having seen them, and starts from another seed. Returns their folders.

    A run that was killed goes on at the fold, and within it at the checkpoint, where it was. `resume` and errors are
    as in `train`; InvalidInput also when a finished fold in `out` is of another configuration, and when `out` is a
    model itself: that would be taken for the teacher, and its folds for none.
    """
    if (out / SETTINGS_FILE).exists():
        raise InvalidInput("training_config", f"{out} holds a model: give another --out for the folds")
    folders = []
    for fold, policy in enumerate(_policies(config, folds)):
        folder = out / f"fold-{fold}"
        folders.append(folder)
        if resume is not False and (folder / SETTINGS_FILE).exists():
            _check_same(folder, policy)
            report(f"fold {fold + 1}/{folds}: is in {folder}")
            continue
        report(f"fold {fold + 1}/{folds}")
        # Whether there is something to go on from depends on when the run was killed.
        went_on = None if resume else resume
        train(policy, out=folder, data_dir=data_dir, resume=went_on, device=device, report=report)
    return folders


def _policies(config: Config, folds: int) -> Iterator[Config]:
    if folds < 2:
        raise InvalidInput("training_config", f"folds must be at least 2, got {folds}")
    for fold in range(folds):
        yield replace(
            config,
            name=f"{config.name}-{fold}",
            held_out=replace(config.held_out, folds=folds, fold=fold),
            seed=config.seed + fold,
        )


def _check_same(folder: Path, policy: Config) -> None:
    try:
        # An option that there was not yet has its default.
        theirs = config_from(read_settings(folder).training.get("config", {}))
    except InvalidInput:
        theirs = None
    free = {option: getattr(policy, option) for option in NOT_OF_THE_RUN}
    if theirs is None or replace(theirs, **free) != policy:
        raise InvalidInput(
            "training_config",
            f"{folder} holds a teacher of another configuration: train them all again with --fresh, or give another "
            "--out",
        )

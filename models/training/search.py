"""Searches for better options: trial by trial, the poor ones ended early, resumable."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from domain.errors import InvalidInput, PermanentError
from models.training.config import Config, Range, Space
from models.training.configure import change, config_from
from models.training.hooks import Report
from models.training.run import train
from models.training.trainer import Diverged

STUDY_FILE = "search.db"
BEST_FILE = "best.yml"
_DIGEST = "groundswell"
_REACHED = "reached"
"""Attributes of the study, and of a trial that was broken off: epoch → score."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One set of options and what came of it."""

    number: int
    values: Mapping[str, Any]
    score: float | None
    """The best epoch's held-out score (`models.training.measure.score`); None where it was ended early."""


def search(
    tree: Mapping[str, Any],
    trials: int,
    *,
    out: Path,
    data_dir: Path,
    device: str = "auto",
    report: Report = lambda line: print(line, flush=True),
) -> list[Trial]:
    """Train with `trials` sets of values for the options in `search.space` of the configuration `tree` (plain values),
    the configuration's own first, then as a tree of Parzen estimators proposes (Optuna's TPE). A trial whose score
    after an epoch is below the median of the earlier ones' at that epoch is ended. Nothing is kept of the models.

    Writes `out`/search.db, with which the same call goes on after a kill (at the epoch where it was), and
    `out`/best.yml, the configuration with the best values. Returns all trials, the best first.

    Raises InvalidInput when there is no space, an option in it doesn't exist or a value isn't allowed, nothing is held
    out, or `out` holds a search of another configuration; PermanentError when all trials diverged; and what `train`
    raises.
    """
    config = _checked(tree, trials)
    out.mkdir(parents=True, exist_ok=True)
    study = _study(out / STUDY_FILE, config)
    _take_up(study, config)
    while (done := _count_done(study)) < trials:
        # A seed for each trial: an unbroken search and one that was killed propose the same.
        study.sampler = TPESampler(seed=config.seed + done)
        trial = study.ask()
        values = {key: _draw(trial, key, space) for key, space in config.search.space.items()}
        report(f"trial {done + 1}/{trials}: {_words(values)}")
        score = _score(trial, change(tree, _changes(values)), out=out, data_dir=data_dir, device=device, report=report)
        study.tell(trial, score, state=TrialState.PRUNED if score is None else TrialState.COMPLETE)
    found = _finished(study)
    if found[0].score is None:
        raise PermanentError(
            f"not one of {len(found)} trials came to its end: give search.space lower rates to try, and another --out"
        )
    best = change(tree, _changes(found[0].values))
    best.pop("search")
    (out / BEST_FILE).write_text(yaml.safe_dump(best, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return found


def _finished(study: optuna.Study) -> list[Trial]:
    """The best first."""
    return sorted(
        (
            Trial(number=one.number, values=one.params, score=one.value if one.state is TrialState.COMPLETE else None)
            for one in study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
        ),
        key=lambda one: (one.score is None, -(one.score or 0.0), one.number),
    )


def table(trials: Sequence[Trial]) -> list[str]:
    """Lines to print."""
    options = list(trials[0].values)
    rows = [["trial", "score", *options]]
    for trial in trials:
        score = "ended early" if trial.score is None else f"{trial.score:.4f}"
        rows.append([str(trial.number), score, *(_word(trial.values[option]) for option in options)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _checked(tree: Mapping[str, Any], trials: int) -> Config:
    config = config_from(tree)
    if trials < 1:
        raise InvalidInput("training_config", f"the number of trials must be at least 1, got {trials}")
    if not config.search.space:
        raise InvalidInput("training_config", "search.space names no option; write which values to try out")
    if not config.held_out.share and not any(item.held_out for item in config.data):
        raise InvalidInput("training_config", "held_out.share: a search needs something held out to measure on")
    for key, space in config.search.space.items():
        for value in (space.low, space.high) if isinstance(space, Range) else space:
            config_from(tree, _changes({key: value}))
    return config


def _study(file: Path, config: Config) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=RDBStorage(f"sqlite:///{file.absolute()}"),
        study_name="search",
        direction="maximize",
        pruner=MedianPruner(n_startup_trials=3),
        load_if_exists=True,
    )
    digest = hashlib.blake2b(json.dumps(asdict(config), sort_keys=True).encode(), digest_size=16).hexdigest()
    if study.user_attrs.setdefault(_DIGEST, digest) != digest:
        raise InvalidInput(
            "training_config", f"{file} holds a search of another configuration: remove it, or give another --out"
        )
    study.set_user_attr(_DIGEST, digest)
    return study


def _take_up(study: optuna.Study, config: Config) -> None:
    """Queue what comes first: the trial that was being run when the search was killed, or the configuration itself."""
    broken_off = study.get_trials(states=(TrialState.RUNNING,))
    for trial in broken_off:
        study.tell(trial.number, state=TrialState.FAIL)
        # What it was told to try, where it was killed before it had drawn that; and what its epochs reached, which
        # decides whether it and later ones are ended early.
        values = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        study.enqueue_trial(values, user_attrs={_REACHED: trial.intermediate_values})
    if not study.get_trials():
        own = {key: _value(asdict(config), key) for key in config.search.space}
        inside = {key: value for key, value in own.items() if _allows(config.search.space[key], value)}
        study.enqueue_trial(inside)


def _count_done(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _draw(trial: optuna.Trial, key: str, space: Space) -> Any:
    if not isinstance(space, Range):
        return trial.suggest_categorical(key, space)
    if isinstance(space.low, int) and isinstance(space.high, int):
        return trial.suggest_int(key, space.low, space.high, log=space.log)
    return trial.suggest_float(key, space.low, space.high, log=space.log)


def _score(
    trial: optuna.Trial, tree: Mapping[str, Any], *, out: Path, data_dir: Path, device: str, report: Report
) -> float | None:
    """The best epoch's; None when the trial was ended."""

    reached = {int(epoch): score for epoch, score in trial.user_attrs.get(_REACHED, {}).items()}
    for epoch, score_before in reached.items():
        trial.report(score_before, epoch)

    def watch(epoch: int, score: float) -> None:
        if epoch not in reached:
            trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    # Named by its values: a trial that was broken off is asked again under another number.
    name = hashlib.blake2b(json.dumps(trial.params, sort_keys=True).encode(), digest_size=6).hexdigest()
    folder = out / f"trial-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    score = None
    try:
        score = train(config_from(tree), out=folder, data_dir=data_dir, device=device, report=report, watch=watch).score
    except optuna.TrialPruned:
        report("ended early: below the median of the earlier trials")
    except Diverged as error:
        report(f"ended early: {error}")
    # Not when the search itself is ended: its checkpoints are what it goes on from.
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder.with_name(f"{folder.name}.training"), ignore_errors=True)
    return score


def _changes(values: Mapping[str, Any]) -> list[str]:
    # JSON is YAML.
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def _value(node: Any, key: str) -> Any:
    """None where the configuration does not say."""
    try:
        for part in key.split("."):
            node = node[int(part) if isinstance(node, (list, tuple)) else part]
    except (TypeError, KeyError, IndexError):
        return None
    return node


def _allows(space: Space, value: Any) -> bool:
    if isinstance(space, Range):
        return isinstance(value, (int, float)) and space.low <= value <= space.high
    return value in space


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_word(value)}" for key, value in values.items())


def _word(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

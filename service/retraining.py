"""Trains a challenger that also learns what people corrected, and puts it in force if it beats the champion."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from domain.correction import Correction, StandingCorrection
from domain.errors import InvalidInput
from domain.ports import Corrections, ModelRegistry, Names
from domain.registry import Promotion
from models import figures
from models.evaluation.evaluate import Policy, evaluate
from models.evaluation.keep import keep_figures, keep_temperature, measured
from models.evaluation.opened import Opened, check_same_labels, open_model
from models.evaluation.questions import Questions, from_examples
from models.evaluation.report import Report
from models.folder import OPENVINO_FILES, SETTINGS_FILE, Kind, ModelSettings, digest, read_settings
from models.refit import sister_of
from models.training.command import Request, config_of, data_dir_of, execute, out_of
from models.training.config import Config
from models.training.examples import read_held_out
from models.training.policies import DataFile
from service import promotion
from service.corrections import LeftOut, described, labelled, write_rows
from service.stream_models import ModelLoader

SOURCE = "corrections"
"""What the texts that people corrected are called among the training's sources."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RetrainingPolicy:
    """How corrections are learnt."""

    weight: float = 2.0
    """How often each corrected text is read in an epoch, on average; one of the configuration's files, once."""
    from_champion: bool = False
    """Go on from the champion's weights rather than from the configuration's encoder."""
    by: str
    """Who does it, for the record."""


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """A challenger that is in force now."""

    promotion: Promotion
    compared: tuple[figures.Compared, ...]
    """With the champion before it, task by task, on the frozen evaluation set."""


def retrain(
    request: Request,
    *,
    champion: Path,
    corrections: Corrections,
    names: Names,
    registry: ModelRegistry,
    loader: ModelLoader,
    policy: RetrainingPolicy,
    say: Say,
) -> Retrained:
    """Train as `request` says, on the configuration's files and on what people corrected, and compare with the model in
    force, whose folder is `champion`, on what the configuration holds out. Nothing that nearly repeats a text held out
    is learnt, so that this set is the same for every challenger. What was said of a symbol is learnt of its `names`.
    After a kill the same call goes on where it was, also when that was past the training.

    Raises InvalidInput: `no_corrections` when there are none to learn, or the champion has learnt them all;
    `champion_stands` when the challenger is worse at a task, or better at none; and what training, opening a model and
    promoting it raise.
    """
    config, out = config_of(request), out_of(request)
    added = _write(corrections.standing(), config, names, out.with_name(f"{out.name}.{SOURCE}"), policy, say)
    _check_new(added, read_settings(champion))
    changes = [*request.changes, f"added={json.dumps([*map(asdict, config.added), *added])}"]
    if policy.from_champion:
        changes += [f"encoder={json.dumps(str(champion.resolve()))}", "revision=null"]
    training = replace(request, changes=changes)
    if _is_trained(out, training):
        say(f"{out} has been trained so before")
    else:
        execute(training, say)
    _make_alike(out, champion)
    compared = _compare(request, config, out=out, champion=champion, say=say)
    for one in compared:
        say(str(one))
    if any(one.is_worse for one in compared) or not any(one.challenger > one.champion for one in compared):
        raise InvalidInput("champion_stands", f"not promoted: the challenger in {out} does not beat the champion")
    challenger = promotion.register(registry, str(out))
    learnt = ", ".join(item["task"] for item in added)
    done = promotion.promote(
        registry, loader, str(challenger.ref), by=policy.by, reason=f"learnt corrections ({learnt})", force=False
    )
    return Retrained(promotion=done.promotion, compared=compared)


def _write(
    standing: Sequence[StandingCorrection],
    config: Config,
    names: Names,
    folder: Path,
    policy: RetrainingPolicy,
    say: Say,
) -> list[dict[str, Any]]:
    """A file for each task, and what the configuration says of it."""
    fitting = [one for one in standing if _fits(config, one.correction)]
    left_out = Counter({LeftOut.TASK_OR_LABEL_UNKNOWN: len(standing) - len(fitting)})
    added: list[dict[str, Any]] = []
    for task in config.tasks:
        rows, not_learnt = labelled((one for one in fitting if one.correction.task == task), names)
        left_out += not_learnt
        if rows:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder.resolve() / f"{task}.jsonl"
            write_rows(path, rows)
            entity = "entity" if config.tasks[task].kind is Kind.ENTITY else None
            item = DataFile(source=SOURCE, file=str(path), task=task, entity=entity, weight=policy.weight)
            added.append(asdict(item))
    say(f"{len(standing) - left_out.total()} of {len(standing)} corrections are learnt{described(+left_out)}")
    if not added:
        raise InvalidInput("no_corrections", "there is no correction to learn: groundswell corrections add")
    return added


def _fits(config: Config, said: Correction) -> bool:
    """Whether the configuration trains a head that could have said it."""
    head = config.tasks.get(said.task)
    if head is None or head.kind is Kind.MULTI or said.label not in head.labels:
        return False
    return (head.kind is Kind.ENTITY) == (said.entity is not None)


def _is_trained(out: Path, request: Request) -> bool:
    """Whether `out` holds what this training gives: it was stopped after it, and before the model was in force."""
    if request.resume is False or not (out / SETTINGS_FILE).exists():
        return False
    config, training = config_of(request), read_settings(out).training
    # As JSON, which the folder's has gone through.
    if json.loads(json.dumps(asdict(config))) != training.get("config"):
        return False
    digests = {one["file"]: one["digest"] for one in training["files"]}
    paths = {item.file: data_dir_of(request) / item.file for item in config.files}
    return all(path.is_file() and digest(path) == digests[file] for file, path in paths.items())


def _check_new(added: Sequence[Mapping[str, Any]], champion: ModelSettings) -> None:
    known = {(one["task"], one["digest"]) for one in champion.training.get("files", ()) if one["source"] == SOURCE}
    if all((item["task"], digest(Path(item["file"]))) in known for item in added):
        raise InvalidInput("no_corrections", f"{champion.ref} has learnt all that stands corrected")


def _make_alike(out: Path, champion: Path) -> None:
    """Give the challenger the int8 file that the champion is served from: what is compared is what is served."""
    if OPENVINO_FILES[0] in read_settings(champion).files.keys() - read_settings(out).files.keys():
        from models.convert import calibration_sentences
        from models.export import export

        export(out, calibration_sentences())


def _compare(request: Request, config: Config, *, out: Path, champion: Path, say: Say) -> tuple[figures.Compared, ...]:
    """On the frozen evaluation set. What the challenger answered is kept in its folder, and its temperatures."""
    held_out = read_held_out(config, data_dir_of(request))
    ours, theirs = (open_model(str(folder), device=request.device) for folder in (out, champion))
    asked = {label.task for example in held_out for label in example.labels}
    found: list[figures.Compared] = []
    for task, labels in ours.settings.tasks.items():
        if task not in theirs.settings.tasks:
            say(f"{task}: not compared, the champion has no such task")
            continue
        if task not in asked:
            say(f"{task}: not compared, nothing that is held out is labelled for it")
            continue
        check_same_labels(ours, theirs, task)
        questions = from_examples(held_out, task=task, kind=ours.kind(task), labels=labels)
        challenger = _report(ours, questions)
        compared = figures.compare(_figures(challenger), _champion_figures(ours, theirs, questions, say))
        if not compared:
            say(f"{task}: not compared, the champion's figures are of other texts than this configuration holds out")
        found += compared
        keep_figures(out, challenger)
        keep_temperature(out, challenger)
    return tuple(found)


def _champion_figures(ours: Opened, theirs: Opened, questions: Questions, say: Say) -> Mapping[str, Any]:
    """As it is measured now; or, where it has learnt what is held out and the challenger has not, what was found of its
    sister that had not either."""
    sister = sister_of(theirs.settings)
    if sister and theirs.knows(questions) and not ours.knows(questions):
        say(
            f"{questions.task}: the champion has learnt what is held out; its figures are those of its sister "
            f"{sister['model']}"
        )
        return figures.of_folder(theirs.folder)
    return _figures(_report(theirs, questions))


def _report(model: Opened, questions: Questions) -> Report:
    return evaluate(
        model.classifier, questions, temperature=model.temperature(questions.task), policy=Policy(latency=False)
    )


def _figures(report: Report) -> dict[str, Any]:
    return {name: one.as_json() for name, one in measured(report).items()}

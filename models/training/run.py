"""Fine-tunes: from a configuration to a sealed model folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from domain.errors import InvalidInput, PermanentError
from models import refit
from models.folder import SETTINGS_FILE, TOKENIZER_FILE, Kind, ModelSettings, read_settings, seal, write_settings
from models.lock import alone
from models.network import save_network
from models.normalise import VERSION as NORMALISER_VERSION
from models.seen import read_seen, write_seen
from models.training.adversarial import attack_from
from models.training.audit import clean, doubts
from models.training.augment import augmenter
from models.training.batches import BatchOrder, TrainingSet, tokenise
from models.training.checkpoints import Checkpoints, whole_checkpoints
from models.training.clauses import clauses, told
from models.training.config import Config
from models.training.examples import Corpus, Example, teach
from models.training.hooks import Report, SoftLabels, Watch
from models.training.learner import Learner, sources_of
from models.training.losses import class_weights
from models.training.measure import Measured
from models.training.methods import finish, trainable
from models.training.policies import Augment
from models.training.precision import on_device
from models.training.prepare import Prepared, describe, prepare
from models.training.soft_labels import open_teachers, report_known, teacher_folders
from models.training.soft_labels import soft_labels as ask_teachers
from models.training.trainer import MultiTaskTrainer

DEVICES = ("auto", "cpu", "cuda")
TOKENIZER_FILES = (TOKENIZER_FILE, "tokenizer_config.json")
NOT_OF_THE_RUN = ("log_steps", "checkpoint_steps", "report_to", "search")
"""Options that a run may be resumed with another value of."""
UNUSED = (("added", ()), ("refit_of", None))
"""Options that came later, where they aren't used: runs that were begun before there were such go on."""


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What a run gave."""

    folder: Path
    settings: ModelSettings
    score: float | None
    """The best epoch's: the mean over tasks of the mean over sources of the held-out accuracy. None when nothing was
    held out."""
    accuracy: Measured
    """Held-out, of the weights in the folder."""


def train(
    config: Config,
    *,
    out: Path,
    data_dir: Path,
    resume: bool | None = None,
    device: str = "auto",
    soft_labels: Callable[[Config, Corpus], SoftLabels] | None = None,
    report: Report = lambda line: print(line, flush=True),
    watch: Watch | None = None,
) -> TrainingResult:
    """Fine-tune as `config` says and write the model folder `out`; `data_dir` holds the files that it names.

    Checkpoints are kept in `OUT.training` until the folder is written. `resume`: True goes on from the last one and
    wants one, False starts over (and may replace `out`), None goes on from one if it is of the same run. What teachers
    say comes from `soft_labels`, or else from those that `distil.teachers` names. `watch` is called after each epoch;
    what it raises ends the run, its checkpoints stay.

    Raises InvalidInput or PermanentError, before training starts, for what is wrong with the options, the data, the
    encoder or the device, and when another process is training to `out`; and PermanentError when the loss is no number
    any more.
    """
    device = device_name(device)
    # "." has no name that lock and checkpoints could be called by.
    out = out.resolve()
    place = out.with_name(f"{out.name}.training")
    with alone(out):
        # Whoever started over on a model that is there, and was stopped, goes on without saying so again.
        _check_out(out, replace_it=resume is False or bool(whole_checkpoints(place)))
        _check_distil(config, taught=soft_labels is not None)
        # Read now: its folder may be another one by the time that training ends.
        sister = None if config.refit_of is None else refit.record(read_settings(Path(config.refit_of)))
        prepared = prepare(config, data_dir)
        for line in describe(config, prepared):
            report(line)
        report_known(prepared.encoder, prepared.corpus, report)
        # What is kept of the run says what was asked for, so that it can be asked for again on another machine.
        running = on_device(config, device, report)
        if soft_labels is None and config.distil.teachers:
            soft_labels = partial(ask_teachers, device=device, report=report)
        prepared = replace(prepared, corpus=_taught(running, prepared.corpus, soft_labels, report))
        lines = _clauses(running, prepared.corpus, soft_labels, report)
        checkpoints = Checkpoints(place, _digest(config, prepared.corpus))
        if resume is False:
            checkpoints.clear()
        checkpoint = checkpoints.latest()
        if resume and checkpoint is None:
            raise InvalidInput("training_config", f"there is nothing to resume in {checkpoints.folder}")
        trainer = _trainer(running, prepared, lines, checkpoints, device=device, report=report, watch=watch)
        trainer.run(checkpoint)
        network = prepared.network
        weights = dict(zip(("learnt", "all"), trainable(network), strict=True))
        measured = trainer.accuracy()
        network.to("cpu", dtype=torch.float32).eval()
        finish(network, config.method)
        course = trainer.course
        figures = {
            "config": asdict(config),
            "teachers": [str(read_settings(folder).ref) for folder in teacher_folders(config.distil.teachers)],
            "files": [asdict(one) for one in prepared.corpus.files],
            "texts": {"training": len(prepared.corpus.training), "held_out": len(prepared.corpus.held_out)},
            "weights": weights,
            "steps": course.steps,
            "seconds": round(course.seconds),
            "epochs": course.epochs,
            "held_out_accuracy": {
                task: {source: asdict(one) for source, one in by.items()} for task, by in measured.items()
            },
        }
        if sister is not None:
            figures[refit.KEY] = sister
        settings = _write(config, prepared, out, figures)
        checkpoints.clear()
        return TrainingResult(folder=out, settings=settings, score=course.best, accuracy=measured)


def dry_run(config: Config, *, data_dir: Path, report: Report) -> None:
    """Check and report everything that comes before training; raises what `train` does."""
    _check_distil(config, taught=False)
    prepared = prepare(config, data_dir)
    for line in describe(config, prepared):
        report(line)
    if config.distil.teachers:
        open_teachers(config)
    corpus = prepared.corpus
    _check_names(TrainingSet(corpus.training, prepared.tokenizer, max_tokens=config.max_tokens), config, report)
    draws = round(sum(example.weight for example in (*corpus.training, *corpus.unlabelled)))
    steps = -(-draws // (config.batch_size * config.accumulate))
    report(f"{steps} steps an epoch, {config.epochs} epochs")


def device_name(device: str) -> str:
    """`cpu` or `cuda`, as torch names it. Raises InvalidInput or PermanentError when there is no such device."""
    if device not in DEVICES:
        raise InvalidInput("training_config", f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise PermanentError("device cuda was asked for and torch sees no GPU; use device auto or cpu")
    return "cpu" if device == "cpu" or not torch.cuda.is_available() else "cuda"


def _check_out(out: Path, *, replace_it: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / SETTINGS_FILE).exists():
        raise InvalidInput("training_config", f"{out} is there and is no model folder; give another --out")
    if not replace_it:
        raise InvalidInput(
            "training_config", f"{out} holds a model already: replace it with --fresh, or give another --out"
        )


def _check_distil(config: Config, *, taught: bool) -> None:
    wants = config.distil.unlabelled or config.distil.clean is not None or config.augment.terse
    if wants and not taught and not config.distil.teachers:
        raise InvalidInput(
            "training_config",
            "distil.unlabelled, distil.clean and augment.terse need distil.teachers (--distil-from)",
        )
    if config.augment.terse and all(policy.kind is not Kind.ENTITY for policy in config.tasks.values()):
        raise InvalidInput("training_config", "augment.terse needs a task of kind entity")


def _check_names(training_set: TrainingSet, config: Config, report: Report) -> None:
    """Raises InvalidInput when nothing is left to learn of a task's names."""
    for task, (lost, names) in training_set.cut_off().items():
        line = f"{lost} of {names} names of task {task} lie beyond max_tokens ({config.max_tokens}): raise it"
        if lost == names:
            raise InvalidInput("training_config", line)
        if lost:
            report(line)


def _digest(config: Config, corpus: Corpus) -> str:
    """Of everything that shapes the run."""
    shaping = {
        key: value for key, value in asdict(config).items() if key not in NOT_OF_THE_RUN and (key, value) not in UNUSED
    }
    data = {"files": [one.digest for one in corpus.files], "texts": [one.text for one in corpus.training]}
    text = json.dumps({"config": shaping, **data}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _taught(
    config: Config,
    corpus: Corpus,
    soft_labels: Callable[[Config, Corpus], SoftLabels] | None,
    report: Report,
) -> Corpus:
    if soft_labels is None:
        return corpus
    said = soft_labels(config, corpus)
    if config.distil.clean is not None:
        added = {item.source for item in config.added}
        found = [one for one in doubts(config, corpus, said) if one.source not in added]
        report(f"{len(found)} labels are doubtful: {config.distil.clean}")
        corpus = clean(config, corpus, said, found)
    taught = teach(config, corpus, said)
    report(f"teachers label {sum(bool(one.teachers) for one in taught.training)} of {len(taught.training)} texts")
    return taught


def _clauses(
    config: Config, corpus: Corpus, soft_labels: Callable[[Config, Corpus], SoftLabels] | None, report: Report
) -> tuple[Example, ...]:
    """What terse lines are made of."""
    if not config.augment.terse or soft_labels is None:
        return ()
    asked = clauses(config, corpus.training)
    texts = {one.text: one for family in asked for one in family}
    sure = told(asked, soft_labels(config, Corpus(training=tuple(texts.values()), held_out=(), out_of_fold=())))
    report(f"teachers are sure of {len(sure)} of {len(texts)} clauses for terse lines")
    return sure


def _trainer(
    config: Config,
    prepared: Prepared,
    lines: Sequence[Example],
    checkpoints: Checkpoints,
    *,
    device: str,
    report: Report,
    watch: Watch | None,
) -> MultiTaskTrainer:
    corpus = prepared.corpus
    training_set = TrainingSet(
        corpus.training,
        prepared.tokenizer,
        max_tokens=config.max_tokens,
        augmentation=None if config.augment == Augment() else augmenter(config.augment, corpus.training, lines),
        seed=config.seed,
    )
    _check_names(training_set, config, report)
    sources = sources_of(config.tasks, config.files)
    return MultiTaskTrainer(
        Learner(
            prepared.network,
            config.tasks,
            sources=sources,
            class_weights=class_weights(config.tasks, corpus.training),
            temperature=config.distil.temperature,
            r_drop=config.r_drop,
        ),
        config,
        training_set=training_set,
        order=BatchOrder(
            training_set.length,
            [example.weight for example in corpus.training],
            batch_size=config.batch_size,
            seed=config.seed,
        ),
        held_out=tokenise(prepared.tokenizer, corpus.held_out),
        sources=sources,
        padding_id=prepared.padding_id,
        checkpoints=checkpoints,
        use_cpu=device == "cpu",
        report=report,
        attack=None if config.adversarial is None else attack_from(config.adversarial),
        watch=watch,
    )


def _write(config: Config, prepared: Prepared, out: Path, figures: Mapping[str, Any]) -> ModelSettings:
    """Beside `out`, then renamed: what is there is whole."""
    new = out.with_name(f"{out.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save_network(prepared.network, new)
    for file in TOKENIZER_FILES:
        if (prepared.encoder / file).exists():
            shutil.copyfile(prepared.encoder / file, new / file)
    settings = ModelSettings(
        name=config.name,
        tasks={task: policy.labels for task, policy in config.tasks.items()},
        kinds={task: policy.kind for task, policy in config.tasks.items()},
        pooling=config.pooling,
        languages=config.languages,
        normaliser=NORMALISER_VERSION,
        window_tokens=config.window_tokens,
        training=figures,
    )
    write_settings(new, settings)
    texts = [example.text for example in prepared.corpus.training]
    write_seen(new, texts, before=read_seen(prepared.encoder))
    settings = seal(new)
    if out.exists():
        shutil.rmtree(out)
    new.replace(out)
    return settings

"""Makes a model smaller, measures what that costs, and puts it in place unless it costs too much."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from domain.classification import ModelRef
from domain.errors import GroundswellError, InvalidInput, PermanentError
from models.compression.data import recovery
from models.compression.measure import Quality, Size, Speed, quality, size, speed
from models.compression.policy import Policy
from models.compression.take_out import take_out
from models.evaluation.answers import Progress, silent
from models.evaluation.questions import Questions, from_examples
from models.export import export
from models.folder import ADAPTER_FILES, SETTINGS_FILE, Kind, ModelSettings, read_settings, seal, write_settings
from models.load import load_classifier, load_tokenizer
from models.lock import alone
from models.network import MultiTaskNetwork, load_network, save_network
from models.seen import SEEN_FILE
from models.training.config import Config
from models.training.examples import Corpus, Example, read_corpus
from models.training.run import TOKENIZER_FILES, train

CALIBRATION_TEXTS = 300
IMPORTANCE_TEXTS = 1000
KEY = "compression"
"""Where in the folder's training figures it stands what was done, and what it cost."""

_OLD = "old"
_EQUAL = 1e-9
"""Shares of rows that differ by less are the same: floating point has no 0.003."""

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it."""

    folder: Path
    """Where the smaller model is."""
    before: ModelRef
    after: ModelRef
    size_before: Size
    size_after: Size
    speed: Speed
    quality: Mapping[str, Quality]
    """By task that there was something to measure with."""
    refused: bool
    """A task lost more than the limit, and the model was not put in place."""

    @property
    def loss(self) -> float:
        """The most accuracy that any task lost, as a share of the rows; below zero where all gained."""
        return max(one.comparison.difference.value for one in self.quality.values())


def compress(
    folder: Path,
    *,
    out: Path,
    config: Config,
    data_dir: Path = Path(),
    policy: Policy = Policy(),
    resume: bool | None = None,
    device: str = "auto",
    report: Report = lambda line: print(line, flush=True),
    progress: Progress = silent,
) -> Outcome:
    """Drop layers, prune heads, recover and quantise as `policy` says, and put the result at `out`, which may be the
    model's own `folder`. `config` says which files under `data_dir` to learn from and to measure with (`data.py`).

    Where a task loses more than `policy.max_loss`, what is at `out` stays as it is and the result is left at
    `OUT.compress/refused`, unless `policy.force`. The checkpoints of recovery are in `OUT.compress`, too: after a kill
    the same command goes on from them; `resume` False starts over. Recovery runs on `device`; the models are measured
    on the processor, as they are served there.

    Raises InvalidInput or PermanentError, before the long work, for what is wrong with the model, the data or the
    policy, and when another process is compressing to `out`; and PermanentError when what is left can't be quantised,
    of which nothing but a recovery is kept.
    """
    out = out.absolute()  # what is made lies beside it, and "." has no name
    with alone(out):
        _put_back(out)
        settings = read_settings(folder)
        if ADAPTER_FILES[0] in settings.files:
            raise PermanentError(
                f"{folder} has learnt prefixes, which only serve as they are: train it with full or lora"
            )
        _check_out(out)
        work = _Work(_work_folder(out), _digest(settings, policy, config, data_dir))
        config = recovery(config, settings, policy, start=work.pruned.absolute(), teacher=folder.absolute())
        corpus = read_corpus(config, data_dir)
        questions = _questions(corpus, settings)
        report(f"{len(corpus.training)} texts to learn from, {len(corpus.held_out)} held out to measure with")

        network = load_network(folder, settings)
        if policy.takes_out:
            take_out(
                network,
                policy,
                config=config,
                tokenizer=load_tokenizer(folder),
                examples=_sample(corpus, IMPORTANCE_TEXTS, policy.seed),
                report=report,
                progress=progress,
            )
        work.clear(recovered=resume is False)
        new = work.pruned
        try:
            _write(network, folder, settings, new)
            if policy.takes_out and policy.recover_epochs:
                new = work.recovered
                if new.exists():
                    report("what is left has recovered before")
                else:
                    train(config, out=new, data_dir=data_dir, resume=resume, device=device, report=report)
            report("quantising" if policy.int8 else "converting")
            export(new, [example.text for example in _sample(corpus, CALIBRATION_TEXTS, policy.seed)], int8=policy.int8)
        except GroundswellError:
            work.give_up()
            raise

        before, after = load_classifier(folder, device="cpu"), load_classifier(new, device="cpu")
        texts = sorted({text for asked in questions.values() for text in asked.texts})
        outcome = Outcome(
            folder=out,
            before=before.model,
            after=after.model,
            size_before=size(folder),
            size_after=size(new),
            speed=speed(before, after, texts, progress),
            quality=quality(before, after, questions, progress),
            refused=False,
        )
        seal(new, **{KEY: _figures(outcome, policy)})
        if outcome.loss > policy.max_loss + _EQUAL and not policy.force:
            outcome = replace(outcome, folder=work.refused, refused=True)
        _place(new, outcome.folder, work.old)
        work.remove()
        return outcome


def put_back(out: Path) -> None:
    """Undo half an exchange: a kill between the two renamings at the end of `compress` leaves nothing at `out`, and
    what was there in `OUT.compress/old`. Raises PermanentError when another process is at work on `out`."""
    out = out.absolute()
    # Another process may be between the two.
    if (_work_folder(out) / _OLD).exists():
        with alone(out):
            _put_back(out)


def _put_back(out: Path) -> None:
    old = _work_folder(out) / _OLD
    if old.exists() and not out.exists():
        old.replace(out)


@dataclass(frozen=True)
class _Work:
    """The folder in which a model is made."""

    folder: Path
    run: str
    """A kill leaves what the same run finds again, and no other."""

    @property
    def pruned(self) -> Path:
        return self.folder / self.run / "pruned"

    @property
    def recovered(self) -> Path:
        return self.folder / self.run / "recovered"

    @property
    def refused(self) -> Path:
        return self.folder / "refused"

    @property
    def old(self) -> Path:
        return self.folder / _OLD

    def clear(self, *, recovered: bool) -> None:
        """Remove what an earlier run left, but for its recovery."""
        for place in (self.pruned, self.refused, self.old, *([self.recovered] if recovered else [])):
            shutil.rmtree(place, ignore_errors=True)

    def give_up(self) -> None:
        """Remove what no later run needs: it makes all but the recovery anew."""
        shutil.rmtree(self.pruned, ignore_errors=True)
        for place in (self.folder / self.run, self.folder):
            if place.exists() and not any(place.iterdir()):
                place.rmdir()

    def remove(self) -> None:
        """Remove all but a refused model."""
        for place in (self.folder / self.run, self.old):
            shutil.rmtree(place, ignore_errors=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def _work_folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.compress")


def _digest(settings: ModelSettings, policy: Policy, config: Config, data_dir: Path) -> str:
    """Of all that shapes what recovers."""
    shaping = {key: value for key, value in asdict(policy).items() if key not in ("int8", "max_loss", "force")}
    text = json.dumps([str(settings.ref), shaping, asdict(config), str(data_dir.absolute())], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _check_out(out: Path) -> None:
    if out.exists() and not (out / SETTINGS_FILE).exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput("compression_out", f"{out} is there and is no model folder; give another --out")


def _questions(corpus: Corpus, settings: ModelSettings) -> dict[str, Questions]:
    """Of every task that something held out is labelled for. Raises InvalidInput when that is none."""
    labelled = {label.task for example in corpus.held_out for label in example.labels}
    if not labelled:
        raise InvalidInput("compression_data", "nothing is held out to measure with: give more rows, or --held-out")
    return {
        task: from_examples(corpus.held_out, task=task, kind=settings.kinds.get(task, Kind.SINGLE), labels=labels)
        for task, labels in settings.tasks.items()
        if task in labelled
    }


def _sample(corpus: Corpus, count: int, seed: int) -> list[Example]:
    examples = corpus.training
    return random.Random(seed).sample(examples, min(count, len(examples)))  # noqa: S311 (not a secret)


def _write(network: MultiTaskNetwork, folder: Path, settings: ModelSettings, to: Path) -> None:
    """`folder` with another network. Its figures are not the new one's; what it was trained on still is."""
    to.mkdir(parents=True)
    save_network(network, to)
    for name in (*TOKENIZER_FILES, SEEN_FILE):
        if (folder / name).exists():
            shutil.copyfile(folder / name, to / name)
    training = {key: settings.training[key] for key in ("config", "files") if key in settings.training}
    write_settings(to, replace(settings, files={}, training=training))
    seal(to)


def _figures(outcome: Outcome, policy: Policy) -> dict[str, object]:
    return {
        "from": str(outcome.before),
        "policy": asdict(policy),
        "accuracy": {
            task: {"rows": one.rows, "before": one.before.value, "after": one.after.value}
            for task, one in outcome.quality.items()
        },
        "loss": outcome.loss,
        "over_the_limit": outcome.loss > policy.max_loss + _EQUAL,
    }


def _place(new: Path, to: Path, old: Path) -> None:
    """Put the folder `new` where `to` is or shall be, by renaming: at no moment is a part of it there. At none but one
    is nothing there, and `put_back` undoes that."""
    if to.exists():
        to.replace(old)
    new.replace(to)

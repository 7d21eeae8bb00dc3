"""Finds labels that are probably wrong: teachers that never saw the text's story are sure of another one."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from domain.errors import InvalidInput
from models.folder import Kind
from models.training.config import Config
from models.training.examples import Corpus, Example, Label, read_corpus, read_item
from models.training.hooks import Report, SoftLabels
from models.training.policies import Cleaning
from models.training.precision import on_device
from models.training.soft_labels import ask_about


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A label that its text's teachers contradict with confidence."""

    task: str
    source: str
    text: str
    """Normalised."""
    entity: str | None
    label: str
    suggested: str
    probability: float
    """That the teachers give the label."""
    suggested_probability: float
    held_out: bool
    file: str = ""
    line: int = 0
    """Of its first row."""


def audit(
    config: Config, *, data_dir: Path, out: Path, device: str, report: Report, cache: Path | None = None
) -> list[Doubt]:
    """Ask `distil.teachers` about every labelled text, whatever fold the configuration leaves out, and write the
    doubtful labels to `out`, as JSON lines with file and line, the clearest first.

    Raises InvalidInput when no teachers are named or all were trained on everything, and what reading the data and
    asking the teachers raise.
    """
    if not config.distil.teachers:
        raise InvalidInput("training_config", "an audit needs teachers that were trained with --folds: --distil-from")
    # Before the long work, at whose end it is written to.
    out.parent.mkdir(parents=True, exist_ok=True)
    everything = replace(config, held_out=replace(config.held_out, folds=None, fold=None))
    corpus = read_corpus(everything, data_dir)
    running = on_device(config, device, report)
    said = ask_about(running, (*corpus.training, *corpus.held_out), device=device, cache=cache, report=report)
    groups = _answered(config, corpus, said)
    if not groups:
        raise InvalidInput(
            "training_config",
            "there is no label on which a teacher can speak out of fold: train teachers with --folds on these files",
        )
    found = list(_located(config, data_dir, doubts(config, corpus, said)))
    doubtful = Counter((doubt.task, doubt.source) for doubt in found)
    for (task, source), group in sorted(groups.items()):
        agree = np.mean([np.argmax(one.said) == one.given for one in group])
        report(
            f"{task}, {source}: teachers out of fold agree with {agree:.1%} of {len(group)} labels; "
            f"{doubtful[task, source]} are doubtful"
        )
    lines = (json.dumps(asdict(doubt), ensure_ascii=False) + "\n" for doubt in found)
    out.write_text("".join(lines), encoding="utf-8")
    return found


def doubts(config: Config, corpus: Corpus, soft_labels: SoftLabels) -> list[Doubt]:
    """The doubtful labels of training and held-out texts, the clearest (by what the suggested label has more) first.

    Confident learning (Northcutt et al. 2021, section 3.1): a row counts as another class than its label when the
    teachers give that class at least the mean of what they give it on rows labelled so, and more than any other class
    that passes its own mean; never where they give most to the label itself (without that, half of the rows of a
    common class would be doubted in favour of a rare one that teachers hardly know). The means are by task and source,
    since sources have conventions of their own. Only out-of-fold answers are heard; labels shared between several, and
    tasks of kind multi, are not audited.
    """
    found = []
    for group in _answered(config, corpus, soft_labels).values():
        given = np.array([one.given for one in group])
        said = np.array([one.said for one in group])
        # A class that no row is labelled with has no mean, and is never suggested.
        least = [said[given == label, label].mean() if label in given else np.inf for label in range(said.shape[1])]
        passing = np.where(said >= least, said, -1.0)
        best = passing.argmax(axis=1)
        doubtful = (passing.max(axis=1) >= 0) & (best != given) & (said.argmax(axis=1) != given)
        found += [group[row].doubt(config, int(best[row])) for row in np.flatnonzero(doubtful)]
    return sorted(found, key=lambda doubt: doubt.probability - doubt.suggested_probability)


def clean(config: Config, corpus: Corpus, soft_labels: SoftLabels, found: Sequence[Doubt]) -> Corpus:
    """The corpus with doubtful labels of training texts dropped, or softened to the mean of the label and what the
    teachers say (Reed et al. 2015, soft bootstrapping, at β = 1/2), as `distil.clean` says."""
    doubtful = {(doubt.text, doubt.task, doubt.source, doubt.entity) for doubt in found}

    def cleaned(example: Example) -> Example:
        kept = []
        for label in example.labels:
            if (example.text, label.task, label.source, label.entity) not in doubtful:
                kept.append(label)
            elif config.distil.clean is Cleaning.SOFTEN:
                said = soft_labels.get(example.text, label.task, label.entity) or label.target
                mean = tuple((one + other) / 2 for one, other in zip(label.target, said, strict=True))
                kept.append(replace(label, target=mean))
        return replace(example, labels=tuple(kept))

    return replace(corpus, training=tuple(map(cleaned, corpus.training)))


def _located(config: Config, data_dir: Path, found: Sequence[Doubt]) -> Iterator[Doubt]:
    places: dict[tuple[str, str, str, str | None], tuple[str, int]] = {}
    for item in config.files:
        for row in read_item(config, item, data_dir)[0]:
            places.setdefault((item.task, row.source, row.text, row.entity), (str(row.file), row.line))
    for doubt in found:
        file, line = places[doubt.task, doubt.source, doubt.text, doubt.entity]
        yield replace(doubt, file=file, line=line)


@dataclass(frozen=True, kw_only=True)
class _Answered:
    """A label, and what teachers say of it that never saw the text's story."""

    example: Example
    label: Label
    said: Sequence[float]
    held_out: bool

    @property
    def given(self) -> int:
        return self.label.target.index(max(self.label.target))

    def doubt(self, config: Config, suggested: int) -> Doubt:
        names = config.tasks[self.label.task].labels
        return Doubt(
            task=self.label.task,
            source=self.label.source,
            text=self.example.text,
            entity=self.label.entity,
            label=names[self.given],
            suggested=names[suggested],
            probability=round(self.said[self.given], 4),
            suggested_probability=round(self.said[suggested], 4),
            held_out=self.held_out,
        )


def _answered(config: Config, corpus: Corpus, soft_labels: SoftLabels) -> dict[tuple[str, str], list[_Answered]]:
    """By task and source."""
    groups: dict[tuple[str, str], list[_Answered]] = defaultdict(list)
    for held_out, examples in ((False, corpus.training), (True, corpus.held_out)):
        for example in examples:
            if not soft_labels.is_out_of_fold(example.text):
                continue
            for label in example.labels:
                if config.tasks[label.task].kind is Kind.MULTI or max(label.target) < 1:
                    continue
                said = soft_labels.get(example.text, label.task, label.entity)
                if said is not None:
                    answered = _Answered(example=example, label=label, said=said, held_out=held_out)
                    groups[label.task, label.source].append(answered)
    return groups

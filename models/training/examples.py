"""Turns labelled rows into examples: one text with all that is known of it, on one side of the split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domain.errors import InvalidInput
from models.folder import Kind, digest
from models.training.config import Config
from models.training.data import LeftOut, Row, mentions, read_file
from models.training.hooks import SoftLabels
from models.training.policies import DataFile
from models.training.splits import folds, hold_out, stories

UNLABELLED = "unlabelled"
"""The source of texts that only teachers label."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """What one source, or the teachers, say of a text for one task."""

    task: str
    source: str
    target: tuple[float, ...]
    """A probability per label of the task, in its order; they sum to 1, except for tasks of kind multi."""
    weight: float = 1.0
    """Of its loss."""
    entity: str | None = None
    """The name that it is about, for tasks of kind entity."""

    @property
    def about(self) -> tuple[str, str | None]:
        """The task, and the name as it is compared: a text's mentions of a name are found in any case."""
        return self.task, None if self.entity is None else self.entity.lower()


@dataclass(frozen=True, kw_only=True)
class Example:
    """A normalised text and its labels."""

    text: str
    labels: tuple[Label, ...]
    teachers: tuple[Label, ...] = ()
    weight: float = 1.0
    """How often it is read in an epoch, on average."""


@dataclass(frozen=True, kw_only=True)
class FileFigures:
    """What was read of one file."""

    source: str
    file: str
    task: str
    digest: str
    """Hex BLAKE2b-128 of the file."""
    rows: int
    left_out: Mapping[LeftOut, int]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The examples of a run."""

    training: tuple[Example, ...]
    held_out: tuple[Example, ...]
    """Never trained on: to measure with."""
    out_of_fold: tuple[Example, ...]
    """Neither trained on nor measured (`HeldOut.fold`)."""
    unlabelled: tuple[Example, ...] = ()
    """Texts of `distil.unlabelled` that are new and nearly repeat nothing that is kept from training."""
    files: tuple[FileFigures, ...] = ()


def read_corpus(config: Config, data_dir: Path) -> Corpus:
    """Every labelled file of the configuration, merged by text and split; then the files that were added since.

    Raises InvalidInput, naming file and line, for what `read_file` refuses, or when all of a task's rows have one
    label.
    """
    rows: list[tuple[DataFile, Row]] = []
    files = []
    for item in config.data:
        read, figures = read_item(config, item, data_dir)
        files.append(figures)
        rows += [(item, row) for row in read]
    _check_classes(config, rows)
    corpus = _split(config, _merged(config, rows), measured={row.text for item, row in rows if item.held_out})
    if not corpus.training:
        raise InvalidInput("training_data", "no text is left to train on: everything is held out")
    added = []
    for item in config.added:
        read, figures = read_item(config, item, data_dir)
        files.append(figures)
        added += [(item, row) for row in read]
    corpus = _with_added(corpus, _merged(config, added))
    return replace(corpus, unlabelled=tuple(_unlabelled(config, data_dir, corpus)), files=tuple(files))


def read_held_out(config: Config, data_dir: Path) -> tuple[Example, ...]:
    """What a run of this configuration measures on. What it has learnt besides need not be there any more: files that
    were added, and those without labels. Raises what `read_corpus` does."""
    labelled = replace(config, added=(), distil=replace(config.distil, unlabelled=()))
    return read_corpus(labelled, data_dir).held_out


def teach(config: Config, corpus: Corpus, soft_labels: SoftLabels) -> Corpus:
    """With what teachers say of each training text and of the unlabelled ones, which become training texts."""
    taught = [_taught(config, example, soft_labels) for example in (*corpus.training, *corpus.unlabelled)]
    training = tuple(example for example in taught if example.labels or example.teachers)
    return replace(corpus, training=training, unlabelled=())


def merge(labels: Sequence[Label]) -> tuple[Label, ...]:
    """One label for each task, source and name: where a source contradicts itself, the mean of what it says."""
    groups: dict[tuple[str, tuple[str, str | None]], list[Label]] = defaultdict(list)
    for label in labels:
        groups[label.source, label.about].append(label)
    return tuple(
        replace(
            group[0],
            target=tuple(sum(values) / len(group) for values in zip(*(one.target for one in group), strict=True)),
        )
        for group in groups.values()
    )


def places(target: Sequence[float], kind: Kind) -> list[int]:
    """Which of a task's labels a target stands for: the likeliest, or for kind multi each that is as likely as not."""
    if kind is Kind.MULTI:
        return [place for place, share in enumerate(target) if share >= 0.5]
    return [target.index(max(target))]


def read_item(config: Config, item: DataFile, data_dir: Path) -> tuple[list[Row], FileFigures]:
    """One file's rows as the configuration reads them; errors as of `read_file`."""
    task, path = config.tasks[item.task], data_dir / item.file
    if not path.is_file():
        raise InvalidInput("training_data", f"there is no file {path}: --data-dir must hold the configuration's files")
    left_out: Counter[LeftOut] = Counter()
    rows = read_file(
        path,
        source=item.source,
        text=item.text,
        label=item.label,
        entity=item.entity,
        labels=task.labels,
        kind=task.kind,
        label_map=item.map,
        separator=item.separator,
        left_out=left_out,
    )
    figures = FileFigures(
        source=item.source,
        file=item.file,
        task=item.task,
        digest=digest(path),
        rows=len(rows),
        left_out=dict(left_out),
    )
    return rows, figures


def _check_classes(config: Config, rows: Sequence[tuple[DataFile, Row]]) -> None:
    for task, policy in config.tasks.items():
        training = [row for item, row in rows if item.task == task and not item.held_out]
        if not training and config.distil.teachers and all(item.task != task for item in config.data):
            continue  # teachers alone speak of it
        if not training:
            files = ", ".join(item.file for item in config.data if item.task == task)
            raise InvalidInput("training_data", f"task {task!r} has no rows left to learn from in {files}")
        seen = {label for row in training for label, share in row.shares.items() if share}
        if len(seen) < 2 and policy.kind is not Kind.MULTI:
            first, last = training[0], training[-1]
            raise InvalidInput(
                "training_data",
                f"{first.file}:{first.line} to {last.file}:{last.line}: all {len(training)} rows of task {task!r} are "
                f"{first.label!r}; at least two labels are needed",
            )


def _merged(config: Config, rows: Sequence[tuple[DataFile, Row]]) -> list[Example]:
    by_text: dict[str, list[tuple[DataFile, Row]]] = defaultdict(list)
    for item, row in rows:
        by_text[row.text].append((item, row))
    return [
        Example(
            text=text,
            labels=merge([_label(config, item, row) for item, row in group]),
            weight=max(item.weight for item, _ in group),
        )
        for text, group in by_text.items()
    ]


def _label(config: Config, item: DataFile, row: Row) -> Label:
    target = tuple(row.shares.get(label, 0.0) for label in config.tasks[item.task].labels)
    return Label(task=item.task, source=item.source, target=target, entity=row.entity)


def _split(config: Config, examples: Sequence[Example], *, measured: Collection[str]) -> Corpus:
    """`measured`: texts that are held out whatever the split says; what nearly repeats one goes with it."""
    policy = config.held_out
    texts = [example.text for example in examples]
    names = [_names(config, example) for example in examples] if policy.stratify else None
    held = hold_out(texts, share=policy.share, seed=policy.seed, labels=names)
    if measured:
        groups = stories(texts)
        with_measured = {group for text, group in zip(texts, groups, strict=True) if text in measured}
        held |= [group in with_measured for group in groups]
    held_out = [example for example, is_held in zip(examples, held, strict=True) if is_held]
    rest = [example for example, is_held in zip(examples, held, strict=True) if not is_held]
    out_of_fold: list[Example] = []
    if policy.folds is not None:
        names = [_names(config, example) for example in rest] if policy.stratify else None
        fold = folds([example.text for example in rest], policy.folds, policy.seed, labels=names)
        out_of_fold = [example for example, number in zip(rest, fold, strict=True) if number == policy.fold]
        rest = [example for example, number in zip(rest, fold, strict=True) if number != policy.fold]
    return Corpus(training=tuple(rest), held_out=tuple(held_out), out_of_fold=tuple(out_of_fold))


def _names(config: Config, example: Example) -> set[str]:
    """What the split keeps the shares of: each task's labels by source. A text with none of a multi-label task's labels
    counts as such."""
    return {
        f"{label.task}/{label.source}={place}"
        for label in example.labels
        for place in [*map(str, places(label.target, config.tasks[label.task].kind))] or [""]
    }


def _with_added(corpus: Corpus, added: Sequence[Example]) -> Corpus:
    """What they say counts in place of what is said already; nothing comes near to what is kept from training."""
    training = {example.text: example for example in corpus.training}
    apart = [example.text for example in (*corpus.held_out, *corpus.out_of_fold)]
    clear = set(_clear_of(apart, [example.text for example in added]))
    for example in added:
        if example.text in clear:
            known = training.get(example.text, replace(example, labels=()))
            kept = tuple(
                label
                for label in known.labels
                if not any(_same_thing(example.text, label, new) for new in example.labels)
            )
            training[example.text] = replace(
                known, labels=(*kept, *example.labels), weight=max(known.weight, example.weight)
            )
    return replace(corpus, training=tuple(training.values()))


def _same_thing(text: str, one: Label, other: Label) -> bool:
    """Whether two labels answer the same question: of the same task, and about the same words where it is about names
    ("Apple" and "Apple Inc")."""
    if one.task != other.task or one.entity is None or other.entity is None:
        return one.about == other.about
    return any(
        start < last and first < end
        for start, end in mentions(text, one.entity)
        for first, last in mentions(text, other.entity)
    )


def _clear_of(apart: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Those of `texts` that nearly repeat none of `apart`."""
    groups = stories([*apart, *texts])
    held = set(groups[: len(apart)])
    return [text for text, group in zip(texts, groups[len(apart) :], strict=True) if group not in held]


def _unlabelled(config: Config, data_dir: Path, corpus: Corpus) -> list[Example]:
    """New texts that nearly repeat nothing that is kept from training."""
    if not config.distil.unlabelled:
        return []
    known = {example.text for example in (*corpus.training, *corpus.held_out, *corpus.out_of_fold)}
    texts = dict.fromkeys(
        row.text for file in config.distil.unlabelled for row in read_file(data_dir / file, label=None)
    )
    new = [text for text in texts if text not in known]
    apart = [example.text for example in (*corpus.held_out, *corpus.out_of_fold)]
    return [Example(text=text, labels=()) for text in _clear_of(apart, new)]


def _taught(config: Config, example: Example, soft_labels: SoftLabels) -> Example:
    """With the teachers' labels. A label that teachers confirm or contradict counts for what they leave of it; about
    what was added since they are not asked: people corrected such as them."""
    added = {item.source for item in config.added}
    corrected = {label.about for label in example.labels if label.source in added}
    teachers: dict[tuple[str, str | None], Label] = {}
    for task, policy in config.tasks.items():
        names = [label.entity for label in example.labels if label.task == task]
        for entity in names if policy.kind is Kind.ENTITY else (None,):
            soft = soft_labels.get(example.text, task, entity)
            if soft is None:
                continue
            weight = config.distil.weight if names else 1.0
            label = Label(task=task, source=UNLABELLED, target=tuple(soft), weight=weight, entity=entity)
            if label.about not in corrected:
                teachers.setdefault(label.about, label)
    labels = tuple(
        replace(label, weight=1 - config.distil.weight) if label.about in teachers else label
        for label in example.labels
    )
    return replace(example, labels=labels, teachers=tuple(teachers.values()))

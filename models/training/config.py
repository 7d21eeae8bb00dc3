"""The configuration of a training run: what `train.yml` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.folder import Kind, Pooling
from models.training.policies import (
    Adversarial,
    Augment,
    Averaging,
    DataFile,
    Distil,
    HeldOut,
    Method,
    Optimiser,
    ReportTo,
    Task,
    check,
)


@dataclass(frozen=True, kw_only=True)
class Range:
    """Values to search through, both ends included: whole ones where both ends are written as such."""

    low: int | float
    high: int | float
    log: bool = False
    """Whether to draw evenly by order of magnitude."""

    def __post_init__(self) -> None:
        check(self.low < self.high, "low must be less than high")
        check(not self.log or self.low > 0, "low must be more than 0 with log")


Space = Range | tuple[bool | int | float | str, ...]
"""A range or a list of values, read as the first type that they can be: 1e-4 is a text to YAML."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What `--search` tries out."""

    space: Mapping[str, Space] = field(default_factory=dict)
    """Option, as `--set` names it → a range, or a list of values."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run."""

    name: str
    """The model's name, in every score that it gives."""
    encoder: str
    """A Hugging Face folder, the id of one on the hub (with `revision`), or `minilm` or `bge-small`. Of a model folder
    of ours the heads of the same tasks are gone on with, too."""
    revision: str | None = None
    """The commit of an encoder from the hub, 40 hex digits."""
    tasks: Mapping[str, Task]
    data: tuple[DataFile, ...]
    added: tuple[DataFile, ...] = ()
    """Files that came after the split was made, such as corrections, and leave it as it is: none of their texts is held
    out, and one that nearly repeats a text that is held out is left out. What they say of a text that `data` has too
    counts in place of what that says, and of what teachers say."""
    pooling: Pooling = Pooling.MEAN
    languages: tuple[str, ...] = ("en",)
    window_tokens: int = 128
    """The most tokens that the model reads in one pass once it serves; longer texts are read in several."""
    max_tokens: int = 96
    """Texts are cut here in training."""
    held_out: HeldOut = field(default_factory=HeldOut)
    refit_of: str | None = None
    """A model folder, which this configuration gave while it held texts out: this run learns these too, and what was
    found of that model stands for this one."""
    method: Method = field(default_factory=Method)
    optimiser: Optimiser = field(default_factory=Optimiser)
    averaging: Averaging = field(default_factory=Averaging)
    distil: Distil = field(default_factory=Distil)
    augment: Augment = field(default_factory=Augment)
    adversarial: Adversarial | None = None
    r_drop: float = 0.0
    """Weight of the divergence between two passes with different dropout (Liang et al. 2021); 0: one pass."""
    epochs: int = 5
    max_steps: int | None = None
    """End after so many optimiser steps, to try things out."""
    batch_size: int = 32
    """Texts in one pass."""
    accumulate: int = 1
    """Passes in one optimiser step."""
    bf16: bool = False
    """Mixed precision, twice as fast, where the processor or the GPU has bf16 units; elsewhere full precision."""
    seed: int = 0
    """Of order, dropout and new weights."""
    early_stopping: int | None = None
    """End after so many epochs without a better held-out accuracy."""
    keep_best: bool = False
    """Write the epoch with the best held-out accuracy rather than the last; always with early_stopping."""
    checkpoint_steps: int | None = None
    """A checkpoint every so many optimiser steps; unset: at each epoch's end."""
    log_steps: int = 50
    """A line of progress every so many optimiser steps."""
    report_to: tuple[ReportTo, ...] = ()
    search: Search = Search()

    def __post_init__(self) -> None:
        check(bool(self.tasks), "tasks names no task")
        for name in self.tasks:
            check(name.replace("_", "").isalnum(), f"tasks: a name is letters, digits and _, not {name!r}")
        check(bool(self.data), "data names no file")
        for name in ("epochs", "batch_size", "accumulate", "max_steps", "early_stopping", "checkpoint_steps"):
            value = getattr(self, name)
            check(value is None or value >= 1, f"{name} must be at least 1")
        check(self.log_steps >= 1, "log_steps must be at least 1")
        check(0 <= self.seed < 2**32, "seed must be at least 0 and less than 2^32")
        check(self.max_tokens >= 8, "max_tokens must be at least 8")
        check(self.window_tokens >= 8, "window_tokens must be at least 8")
        check(self.r_drop >= 0, "r_drop must be at least 0")
        check(self.refit_of is None or not self.held_out.share, "refit_of: nothing may be held out (held_out.share: 0)")
        self._check_data()

    @property
    def files(self) -> tuple[DataFile, ...]:
        """All of them."""
        return (*self.data, *self.added)

    def _check_data(self) -> None:
        known = ", ".join(self.tasks)
        listed = [
            (f"{key}.{number}", item) for key in ("data", "added") for number, item in enumerate(getattr(self, key))
        ]
        for where, item in listed:
            check(item.task in self.tasks, f"{where}.task: there is no task {item.task!r}; known: {known}")
            entity = self.tasks[item.task].kind is Kind.ENTITY
            check(not entity or item.entity is not None, f"{where}: task {item.task!r} needs an entity column")
            check(entity or item.entity is None, f"{where}: only tasks of kind entity have an entity column")
        check(not any(item.held_out for item in self.added), "added: texts that are measured on belong in data")
        twice = {item.source for item in self.data} & {item.source for item in self.added}
        check(not twice, f"added: {', '.join(twice)} is a source of data; what counts in its place needs another name")
        for task in self.tasks:
            files = [item for item in self.data if item.task == task and not item.held_out]
            taught = bool(self.distil.teachers)
            check(bool(files) or taught, f"data names no file to train task {task!r} on, and distil no teacher")

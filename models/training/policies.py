"""The parts of a training run's configuration: what is learnt from which files, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from models.folder import Kind


class LossKind(StrEnum):
    """What a head's logits are fitted with. For tasks of kind multi both act on each label by itself."""

    CROSS_ENTROPY = "cross_entropy"
    FOCAL = "focal"


class Balance(StrEnum):
    """How class weights are found."""

    BALANCED = "balanced"
    """rows ÷ (labels · rows of the label), over the training rows."""


class MethodName(StrEnum):
    """Which weights are learnt."""

    FULL = "full"
    HEAD = "head"
    LORA = "lora"
    IA3 = "ia3"
    PREFIX = "prefix"
    ADAPTER = "adapter"


class Schedule(StrEnum):
    """How the rate falls after the warm-up."""

    LINEAR = "linear"
    COSINE = "cosine"
    CONSTANT = "constant"


class Cleaning(StrEnum):
    """What becomes of labels that teachers contradict with confidence, out of fold."""

    DROP = "drop"
    SOFTEN = "soften"
    """To the mean of the label and what the teachers say."""


class AttackName(StrEnum):
    """Which adversarial training."""

    FGM = "fgm"
    FREELB = "freelb"


class ReportTo(StrEnum):
    """Where the Trainer also sends its figures."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    WANDB = "wandb"


def check(right: bool, message: str) -> None:
    """Raise ValueError with the message unless it is right; whoever reads the configuration names the option."""
    if not right:
        raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How one task's answers are held against its labels."""

    kind: LossKind = LossKind.CROSS_ENTROPY
    gamma: float = 2.0
    """Of the focal loss (Lin et al. 2017)."""
    class_weights: Balance | Mapping[str, float] | None = None
    """A weight per label (1 for those that are not named), or `balanced`."""
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check(self.gamma >= 0, "gamma must be at least 0")
        check(0 <= self.label_smoothing < 1, "label_smoothing must be at least 0 and less than 1")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One head."""

    labels: tuple[str, ...]
    kind: Kind = Kind.SINGLE
    weight: float = 1.0
    """Of its loss among those of the other tasks."""
    loss: Loss = Loss()
    source_bias: bool = False
    """Learn a bias on the logits for each source of labels, in training only: sets of labels follow conventions of
    their own, and a bias takes these up where the text would otherwise have to."""
    source_dropout: float = 0.5
    """Share of the rows whose source's bias is left out, so that the answer without one is learnt too."""

    def __post_init__(self) -> None:
        check(len(self.labels) >= 1 + (self.kind is not Kind.MULTI), "labels must name at least two labels")
        check(len(set(self.labels)) == len(self.labels), "labels names a label twice")
        check(self.weight >= 0, "weight must be at least 0")
        check(0 <= self.source_dropout <= 1, "source_dropout must be from 0 to 1")
        if isinstance(weights := self.loss.class_weights, Mapping):
            strange = [label for label in weights if label not in self.labels]
            check(not strange, f"loss.class_weights: there is no label {', '.join(strange)}")
            check(min(weights.values(), default=0) >= 0, "loss.class_weights must be at least 0")


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of texts labelled for one task."""

    source: str
    """Names these rows in figures, and chooses their bias where the task has one per source."""
    file: str
    """JSON lines or CSV (by the ending), under the data folder."""
    task: str
    text: str = "text"
    """The column of the text."""
    label: str = "label"
    """The column of the label; for tasks of kind multi a list, or a text with `separator` between labels."""
    entity: str | None = None
    """The column of the name that the label is about; for tasks of kind entity."""
    separator: str = ";"
    map: Mapping[str, str | Mapping[str, float] | None] = field(default_factory=dict)
    """Label in the file → the task's label, null to leave such rows out, or shares of several labels that sum to 1.
    Labels that are not named stay as they are; "" is that of rows without one."""
    weight: float = 1.0
    """How often each of its rows is read in an epoch, on average."""
    held_out: bool = False
    """Never train on it, nor on what nearly repeats it: measure only."""

    def __post_init__(self) -> None:
        check(self.weight > 0, "weight must be more than 0")
        check(self.separator != "", "separator must not be empty")
        for label, share in self.map.items():
            if isinstance(share, Mapping):
                right = abs(sum(share.values()) - 1) < 1e-6 and min(share.values()) >= 0
                check(right, f"the shares of {label!r} in map must be at least 0 and sum to 1")


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What is kept away from training, by story: texts that nearly repeat each other stay on one side."""

    share: float = 0.1
    """Of the stories, to measure on."""
    seed: int = 0
    stratify: bool = True
    """Keep each label's share on both sides; else stories are chosen by a hash alone, and those chosen stay chosen
    when rows are added."""
    folds: int | None = None
    """Cut what isn't held out into this many folds, and leave out one more of them: `fold`."""
    fold: int | None = None
    """From 0; its texts are neither trained on nor measured, so that this model can label them."""

    def __post_init__(self) -> None:
        check(0 <= self.share < 1, "share must be at least 0 and less than 1")
        check(0 <= self.seed < 2**64, "seed must be at least 0 and less than 2^64")
        check((self.folds is None) == (self.fold is None), "folds and fold go together")
        if self.folds is not None and self.fold is not None:
            check(self.folds >= 2 and 0 <= self.fold < self.folds, "fold must be from 0 to folds − 1, of two or more")


@dataclass(frozen=True, kw_only=True)
class Method:
    """Which weights are learnt, and how."""

    name: MethodName = MethodName.FULL
    rank: int = 8
    """Of lora."""
    alpha: float = 16.0
    """Of lora: its change is scaled by alpha ÷ rank."""
    dropout: float = 0.0
    """Of lora."""
    target_modules: tuple[str, ...] | None = None
    """Of lora and ia3: the encoder's layers to adapt, by the ends of their names; unset: PEFT's choice."""
    prefix_tokens: int = 16
    """Of prefix: how many learnt keys and values each layer has."""
    frozen: tuple[str, ...] = ()
    """The encoder's weights that stay as they are: each whose name has one of these in it, such as `word_embeddings` or
    `encoder.layer.0.`."""

    def __post_init__(self) -> None:
        check(all(self.frozen), "frozen names nothing")
        check(self.rank >= 1, "rank must be at least 1")
        check(self.prefix_tokens >= 1, "prefix_tokens must be at least 1")
        check(0 <= self.dropout < 1, "dropout must be at least 0 and less than 1")


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """AdamW and its rate."""

    learning_rate: float = 1e-4
    head_learning_rate: float | None = None
    """Of the heads; unset: the same."""
    layer_decay: float = 1.0
    """Each layer learns at this share of the rate of the one above it (Howard and Ruder 2018)."""
    weight_decay: float = 0.01
    """Of matrices; biases and norms never decay (Devlin et al. 2019)."""
    warm_up: float = 0.06
    """Share of all steps over which the rate rises."""
    schedule: Schedule = Schedule.LINEAR
    max_grad_norm: float = 1.0
    """Longer gradients are cut to this length; 0: none is."""

    def __post_init__(self) -> None:
        check(self.learning_rate > 0, "learning_rate must be more than 0")
        check(self.head_learning_rate is None or self.head_learning_rate > 0, "head_learning_rate must be more than 0")
        check(self.weight_decay >= 0, "weight_decay must be at least 0")
        check(self.max_grad_norm >= 0, "max_grad_norm must be at least 0")
        check(0 < self.layer_decay <= 1, "layer_decay must be more than 0 and at most 1")
        check(0 <= self.warm_up < 1, "warm_up must be at least 0 and less than 1")


@dataclass(frozen=True, kw_only=True)
class Averaging:
    """Averages of the weights; where there is one, it is what is measured and written."""

    ema: float | None = None
    """Exponential moving average: the share that stays at each step, such as 0.999 (Polyak and Juditsky 1992)."""
    last: int = 1
    """Mean over the last so many epochs' ends (Izmailov et al. 2018)."""

    def __post_init__(self) -> None:
        check(self.ema is None or 0 < self.ema < 1, "ema must be more than 0 and less than 1")
        check(self.last >= 1, "last must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Distil:
    """Learning from teachers' soft labels (Hinton et al. 2015)."""

    teachers: tuple[str, ...] = ()
    """Model folders, whose probabilities are averaged."""
    unlabelled: tuple[str, ...] = ()
    """Files of texts that only the teachers label, under the data folder."""
    weight: float = 0.5
    """Share of the soft label's loss where a text has a hard label too; where it has none, the soft label counts
    fully."""
    temperature: float = 1.0
    """What teachers' and student's logits are divided by; the loss is multiplied by its square."""
    clean: Cleaning | None = None
    """What to do with labels that are probably wrong (`models.training.audit`); unset: learn them like the others."""

    def __post_init__(self) -> None:
        check(0 <= self.weight <= 1, "weight must be from 0 to 1")
        check(self.temperature > 0, "temperature must be more than 0")


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Chances that a training text is changed, drawn anew in every epoch."""

    synonyms: float = 0.0
    mask_tickers: float = 0.0
    mask_numbers: float = 0.0
    swap_entities: float = 0.0
    made_up_names: float = 0.0
    """Of the names that `swap_entities` puts in, the share that is made up."""
    typos: float = 0.0
    join: float = 0.0
    terse: float = 0.0
    """Needs `distil.teachers`, and a task of kind entity."""

    def __post_init__(self) -> None:
        for name, chance in vars(self).items():
            check(0 <= chance <= 1, f"{name} must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """Training against the small change of the embeddings that hurts most."""

    attack: AttackName
    epsilon: float = 1.0
    """Length of the change."""
    steps: int = 3
    """Of freelb: gradient steps per batch."""
    step_size: float = 0.1
    """Of freelb: length of one step."""

    def __post_init__(self) -> None:
        check(self.epsilon > 0, "epsilon must be more than 0")
        check(self.steps >= 1, "steps must be at least 1")
        check(self.step_size > 0, "step_size must be more than 0")

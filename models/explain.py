"""Which words made the answer. Needs the `train` extra; takes seconds a text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.classification import SENTIMENT, ModelRef
from domain.errors import InvalidInput, PermanentError
from domain.ports import Names
from models.attribution import Progress, Window, attribute, windows_of
from models.classifier import TextClassifier, special_tokens
from models.folder import Kind
from models.load import load_classifier
from models.normalise import normalise
from models.torch_backend import TorchBackend

WEIGHTS = "torch, full precision"
BLANKS = ("[MASK]", "<mask>", "[PAD]", "<pad>")
"""What a text that says nothing consists of, the first that the tokenizer has. A mask stands for any word; padding is
never read in training, and on the way from it gradients are so steep that hundreds of points do not suffice."""


@dataclass(frozen=True, kw_only=True)
class WordAttribution:
    """What one word adds to the logit."""

    word: str
    start: int
    """Where it is in the normalised text: [start, end) in characters."""
    end: int
    attribution: float
    """In logits: above zero it speaks for the label, below against it."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a text got a label. Of a text read in several windows every figure is the mean over them, weighted as in the
    answer: by tokens, for an entity by the tokens that name it."""

    text: str
    """Normalised."""
    task: str
    label: str
    entity: str | None
    words: tuple[WordAttribution, ...]
    """Every word that was read, in order."""
    logit: float
    """Of the label, divided by the task's temperature."""
    baseline_logit: float
    """Of the text that says nothing: as long, each token `baseline`."""
    baseline: str
    delta: float
    """Sum of the attributions less (logit − baseline_logit); at most MAX_ERROR of the latter."""
    steps: int
    windows: int
    model: ModelRef
    weights: str
    """Which weights were explained: not those of the int8 file, through which no gradient flows."""
    probabilities: Mapping[str, float]
    """Of the task's labels, by `weights`."""
    served: Mapping[str, float]
    """The same, by the classifier that serves."""
    largest_difference: float
    """Between a probability of the two."""


class Explainer:
    """A model in full precision, beside the same model as it is served. For one thread: captum hooks into the network
    while it computes."""

    def __init__(self, exact: TextClassifier, served: TextClassifier) -> None:
        """`exact` runs on torch; neither keeps a cache. Raises PermanentError when the tokenizer has no token that says
        nothing."""
        if not isinstance(exact.backend, TorchBackend):
            raise TypeError("gradients flow through torch alone")
        self._settings = exact.settings
        self._tokenizer = exact.tokenizer
        self._network = exact.backend.network.requires_grad_(False)
        self._exact = exact
        self._served = served
        found = [(one, number) for one in BLANKS if (number := self._tokenizer.token_to_id(one)) is not None]
        if not found:
            raise PermanentError(f"the tokenizer of {exact.model.name} has none of {', '.join(BLANKS)} to start from")
        self._blank, self._blank_id = found[0]

    @classmethod
    def load(cls, ref: str | Path | None = None) -> Explainer:
        """Of the model that `load_classifier(ref)` loads, on the processor. Raises PermanentError like it, and when it
        is several."""
        exact, served = (load_classifier(ref, device="cpu", int8=int8) for int8 in (False, True))
        if not isinstance(exact, TextClassifier) or not isinstance(served, TextClassifier):
            raise PermanentError(f"{str(ref)!r} is several models; name one of them")
        return cls(exact, served)

    def explain(
        self,
        text: str,
        *,
        task: str | None = None,
        label: str | None = None,
        entity: str | None = None,
        progress: Progress = lambda done, total: None,
    ) -> Explanation:
        """`task`: by default sentiment, or the task for entities when an `entity` is given (a name in the text, or a
        symbol as `$SYMBOL` in it); `label`: by default the most probable one. `progress` is called with how many
        windows are done, and of how many.

        Raises InvalidInput for a task, a label or an entity that isn't there, and PermanentError when the attributions
        cannot be made to sum to the difference of the logits.
        """
        task = self._task(task, entity)
        labels = self._settings.tasks[task]
        if label is not None and label not in labels:
            raise InvalidInput("unknown_label", f"task {task!r} has no label {label!r}; it has {', '.join(labels)}")
        windows = self._windows(text, entity)
        ours, theirs = (_answer(one, text, task, entity) for one in (self._exact, self._served))
        chosen = labels.index(label or max(ours, key=lambda name: ours[name]))
        whole = attribute(
            self._network,
            windows,
            task=task,
            label=chosen,
            temperature=self._settings.temperatures.get(task, 1.0),
            progress=progress,
        )
        normalised = normalise(text)
        return Explanation(
            text=normalised,
            task=task,
            label=labels[chosen],
            entity=entity,
            words=self._words(normalised, whole.tokens),
            logit=whole.logit,
            baseline_logit=whole.baseline_logit,
            baseline=self._blank,
            delta=whole.delta,
            steps=whole.steps,
            windows=len(windows),
            model=self._served.model,
            weights=WEIGHTS,
            probabilities=ours,
            served=theirs,
            largest_difference=max(abs(ours[name] - theirs[name]) for name in labels),
        )

    def _task(self, task: str | None, entity: str | None) -> str:
        kinds = {name: self._settings.kinds.get(name, Kind.SINGLE) for name in self._settings.tasks}
        fitting = [name for name, kind in kinds.items() if (kind is Kind.ENTITY) == (entity is not None)]
        if not fitting:
            what = "entities" if entity is not None else "texts"
            raise InvalidInput("unknown_task", f"{self._settings.name} has no task for {what}")
        if task is None:
            return SENTIMENT if SENTIMENT in fitting else fitting[0]
        if task not in kinds:
            raise InvalidInput("unknown_task", f"{self._settings.name} has no task {task!r}; it has {', '.join(kinds)}")
        if task not in fitting:
            fix = "name an entity" if entity is None else f"leave the entity out, or ask for {fitting[0]!r}"
            raise InvalidInput("unknown_task", f"task {task!r} is of kind {kinds[task]}: {fix}")
        return task

    def _windows(self, text: str, entity: str | None) -> list[Window]:
        """What the answer is made of."""
        prepared = self._exact.prepare([text], _asked(entity))
        if entity is not None and not prepared.mentions:
            raise InvalidInput("entity_not_found", f"the text does not name {entity!r}; give a name as it stands there")
        before, after = special_tokens(self._tokenizer)
        return windows_of(
            prepared,
            entity=entity is not None,
            special=(len(before), len(after)),
            blank=self._blank_id,
        )

    def _words(self, text: str, attributions: NDArray[np.float64]) -> tuple[WordAttribution, ...]:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        # Windows past the last one that is read have no attributions.
        read = zip(encoding.word_ids, encoding.offsets, attributions.tolist(), strict=False)
        by_word: dict[Any, list[tuple[int, int, float]]] = defaultdict(list)
        for number, (word, (start, end), attribution) in enumerate(read):
            by_word[f"token {number}" if word is None else word].append((start, end, attribution))
        return tuple(_word(text, pieces) for pieces in by_word.values())


def _asked(entity: str | None) -> list[Names] | None:
    return None if entity is None else [{entity: (entity,)}]


def _answer(classifier: TextClassifier, text: str, task: str, entity: str | None) -> dict[str, float]:
    """Label probabilities."""
    answer = classifier.classify([text], _asked(entity))[0]
    return dict(answer.tasks[task] if entity is None else answer.entities[entity])


def _word(text: str, pieces: Sequence[tuple[int, int, float]]) -> WordAttribution:
    start, end = min(piece[0] for piece in pieces), max(piece[1] for piece in pieces)
    # Some tokenizers count the space before a word as its first character.
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return WordAttribution(
        word=text[start:end], start=start, end=end, attribution=sum(attribution for *_, attribution in pieces)
    )

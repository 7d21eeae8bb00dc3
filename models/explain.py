"""Which words made the answer: integrated gradients of a label's logit. Needs the `train` extra; seconds a text.

Sundararajan, Taly and Yan 2017, Axiomatic Attribution for Deep Networks: the gradient of the logit with respect to the
tokens' embeddings, averaged along the straight line from a text that says nothing, times the distance. By completeness
the attributions sum to the logit of the text less that of the text that says nothing, which is checked here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients
from numpy.typing import NDArray
from torch import Tensor, nn

from domain.classification import SENTIMENT, ModelRef
from domain.errors import InvalidInput, PermanentError
from domain.ports import Names
from models.classifier import PreparedTexts, TextClassifier
from models.folder import Kind
from models.load import load_classifier
from models.normalise import normalise
from models.sequence_classifier import WholeNetwork
from models.torch_backend import Network, TorchBackend

MAX_ERROR = 0.05
"""How far the attributions' sum may be from the difference of the logits, as a share of it."""
STEPS = (64, 128, 256, 512, 1024)
"""Points on the line, Gauss-Legendre, tried until the sum is within MAX_ERROR. On headlines 32 points leave 0.4 % at
most."""
WEIGHTS = "torch, full precision"

_ROUNDING = 1e-4
"""Logits this near are equal: full precision sums to no more than this."""
_BLANKS = ("[MASK]", "<mask>", "[PAD]", "<pad>")
"""What a text that says nothing consists of, the first that the tokenizer has. A mask stands for any word; padding is
never read in training, and on the way from it gradients are so steep that hundreds of points do not suffice."""
_TOKENS_AT_ONCE = 4096

Progress = Callable[[int, int], None]
"""Called with how many windows are done, and of how many."""


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
    """A model in full precision, beside the same model as it is served."""

    def __init__(self, exact: TextClassifier, served: TextClassifier) -> None:
        """`exact` runs on torch; neither keeps a cache."""
        if not isinstance(exact.backend, TorchBackend):
            raise TypeError("gradients flow through torch alone")
        self._settings = exact.settings
        self._tokenizer = exact.tokenizer
        self._network = exact.backend.network.requires_grad_(False)
        self._exact = exact
        self._served = served
        known = ((token, self._tokenizer.token_to_id(token)) for token in _BLANKS)
        self._blank, self._blank_id = next((token, number) for token, number in known if number is not None)

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
        symbol as `$SYMBOL` in it); `label`: by default the most probable one.

        Raises InvalidInput for a task, a label or an entity that isn't there, and PermanentError when no number of
        steps in STEPS brings the attributions' sum within MAX_ERROR of the difference of the logits.
        """
        task = self._task(task, entity)
        labels = self._settings.tasks[task]
        if label is not None and label not in labels:
            raise InvalidInput("unknown_label", f"task {task!r} has no label {label!r}; it has {', '.join(labels)}")
        text = normalise(text)
        windows = self._windows(text, entity)
        ours, theirs = (self._answer(one, text, task, entity) for one in (self._exact, self._served))
        chosen = labels.index(label or max(ours, key=lambda name: ours[name]))
        parts, steps = self._attributed(windows, task, chosen, progress)
        attributions = np.concatenate([part.tokens for part in parts])
        logit, baseline_logit = (sum(getattr(part, name) for part in parts) for name in ("logit", "baseline_logit"))
        return Explanation(
            text=text,
            task=task,
            label=labels[chosen],
            entity=entity,
            words=self._words(text, attributions),
            logit=logit,
            baseline_logit=baseline_logit,
            baseline=self._blank,
            delta=float(attributions.sum()) - (logit - baseline_logit),
            steps=steps,
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

    def _windows(self, text: str, entity: str | None) -> list[_Window]:
        """What the answer is made of."""
        prepared = self._exact.prepare([text], _asked(entity))
        if entity is not None and not prepared.mentions:
            raise InvalidInput("entity_not_found", f"the text does not name {entity!r}; give a name as it stands there")
        return _windows(prepared, entity=entity is not None)

    def _answer(self, classifier: TextClassifier, text: str, task: str, entity: str | None) -> dict[str, float]:
        """Label probabilities."""
        answer = classifier.classify([text], _asked(entity))[0]
        return dict(answer.tasks[task] if entity is None else answer.entities[entity])

    def _attributed(
        self, windows: Sequence[_Window], task: str, label: int, progress: Progress
    ) -> tuple[list[_Part], int]:
        """Each window's part, and the number of steps at which every part and their sum is complete."""
        temperature = self._settings.temperatures.get(task, 1.0)
        for steps in STEPS:
            parts = []
            for number, window in enumerate(windows):
                progress(number, len(windows))
                parts.append(self._part(window, task, label, steps).scaled(window.weight / temperature))
            progress(len(windows), len(windows))
            if all(_is_complete([part]) for part in parts) and _is_complete(parts):
                return parts, steps
        raise PermanentError(
            f"the attributions do not sum to the difference of the logits within {MAX_ERROR:.0%}, even in {steps} "
            "steps: no explanation is better than a wrong one; try a shorter text, or another label"
        )

    def _part(self, window: _Window, task: str, label: int, steps: int) -> _Part:
        content = self._content(window.ids.shape[1])
        blank = window.ids.clone()
        blank[:, content] = self._blank_id
        gradients = LayerIntegratedGradients(
            lambda ids: _logits(self._network, ids, task, window.rows)[:, label],
            _embeddings(self._network),
        )
        by_token = gradients.attribute(
            window.ids,
            baselines=blank,
            n_steps=steps,
            internal_batch_size=max(1, _TOKENS_AT_ONCE // window.ids.shape[1]),
        )
        with torch.inference_mode():
            ends = [_logits(self._network, ids, task, window.rows)[0, label].item() for ids in (window.ids, blank)]
        return _Part(
            tokens=by_token.detach().double().sum(-1)[0, content].numpy(), logit=ends[0], baseline_logit=ends[1]
        )

    def _content(self, tokens: int) -> slice:
        """Which of a window's tokens are the text's."""
        special = self._tokenizer.encode("a").special_tokens_mask
        before = special.index(0)
        return slice(before, tokens - (sum(special) - before))

    def _words(self, text: str, attributions: NDArray[np.float64]) -> tuple[WordAttribution, ...]:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        # Windows past the last one that is read have no attributions.
        read = zip(encoding.word_ids, encoding.offsets, attributions.tolist(), strict=False)
        by_word: dict[Any, list[tuple[int, int, float]]] = defaultdict(list)
        for number, (word, (start, end), attribution) in enumerate(read):
            by_word[f"token {number}" if word is None else word].append((start, end, attribution))
        return tuple(_word(text, pieces) for pieces in by_word.values())


@dataclass(frozen=True, kw_only=True)
class _Window:
    """What is read in one pass."""

    ids: Tensor
    """Shape (1, tokens), special ones counted, no padding."""
    weight: float
    """Its share in the answer; the shares sum to 1."""
    rows: tuple[int, ...] | None
    """The tokens that name the entity; None for tasks on texts."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What a window adds."""

    tokens: NDArray[np.float64]
    """By token of the text, shape (tokens,)."""
    logit: float
    baseline_logit: float

    def scaled(self, by: float) -> _Part:
        return _Part(tokens=self.tokens * by, logit=self.logit * by, baseline_logit=self.baseline_logit * by)


def _asked(entity: str | None) -> list[Names] | None:
    return None if entity is None else [{entity: (entity,)}]


def _embeddings(network: Network) -> nn.Module:
    encoder = network.model if isinstance(network, WholeNetwork) else network.encoder
    embeddings: nn.Module = encoder.get_input_embeddings()
    return embeddings


def _windows(prepared: PreparedTexts, *, entity: bool) -> list[_Window]:
    ids: dict[int, Tensor] = {}
    for batch in prepared.batches:
        for row, window in enumerate(batch.windows):
            ids[window] = torch.from_numpy(batch.ids[row][batch.mask[row] == 1]).unsqueeze(0)
    rows: dict[int, list[int]] = defaultdict(list)
    for mention in prepared.mentions:
        rows[mention.window] += range(mention.rows.start, mention.rows.stop)
    named = sum(map(len, rows.values()))
    return [
        _Window(
            ids=ids[window],
            weight=len(rows[window]) / named if entity else float(prepared.weights[window]),
            # Of a window that does not name the entity any row will do: it weighs nothing.
            rows=tuple(rows[window] or [0]) if entity else None,
        )
        for window in sorted(ids)
    ]


def _logits(network: Network, ids: Tensor, task: str, rows: tuple[int, ...] | None) -> Tensor:
    """Shape (texts, labels); of the mean over `rows` for an entity."""
    logits: Tensor = network(ids, torch.ones_like(ids))[task]
    return logits if rows is None else logits[:, rows].mean(1)


def _is_complete(parts: Sequence[_Part]) -> bool:
    difference = sum(part.logit - part.baseline_logit for part in parts)
    total = sum(float(part.tokens.sum()) for part in parts)
    return abs(total - difference) <= MAX_ERROR * abs(difference) + _ROUNDING


def _word(text: str, pieces: Sequence[tuple[int, int, float]]) -> WordAttribution:
    start, end = min(piece[0] for piece in pieces), max(piece[1] for piece in pieces)
    # Some tokenizers count the space before a word as its first character.
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return WordAttribution(
        word=text[start:end], start=start, end=end, attribution=sum(attribution for *_, attribution in pieces)
    )

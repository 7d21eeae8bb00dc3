"""The classifier: normalises, tokenises, cuts into windows, runs the network, averages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from domain.classification import Classification, ModelRef
from domain.errors import PermanentError
from domain.ports import Prepared
from models.backend import Backend
from models.batches import Batch, cut, pack
from models.folder import ModelSettings
from models.normalise import input_hash, normalise

MAX_WINDOWS = 256
"""A text's windows past this many are not read: with 126 tokens each, more than the longest text of words that the
service lets in; only 64 KiB of lone signs would have more."""


@dataclass(frozen=True, kw_only=True)
class PreparedTexts:
    """Texts as batches of windows."""

    hashes: tuple[str, ...]
    batches: tuple[Batch, ...]
    owners: NDArray[np.int64]
    """Which text each window belongs to, shape (windows,), ascending."""
    weights: NDArray[np.float64]
    """Each window's share of its text's tokens, shape (windows,); a text's sum to 1."""

    def __len__(self) -> int:
        return len(self.hashes)


class TextClassifier:
    """A model folder's network behind `domain.ports.Classifier`. Thread-safe."""

    def __init__(self, settings: ModelSettings, tokenizer: Tokenizer, backend: Backend) -> None:
        """`tokenizer` neither pads nor cuts."""
        self._settings = settings
        self._ref = settings.ref
        self._tokenizer = tokenizer
        self._backend = backend
        special = tokenizer.encode("").ids
        self._before, self._after = special[:1], special[1:]
        self._content_tokens = settings.window_tokens - len(special)
        self._padding_id = tokenizer.token_to_id("[PAD]") or 0

    @property
    def model(self) -> ModelRef:
        return self._ref

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._settings.languages)

    def prepare(self, texts: Sequence[str]) -> PreparedTexts:
        normalised = [normalise(text) for text in texts]
        encodings = self._tokenizer.encode_batch_fast(normalised, add_special_tokens=False)
        windows: list[list[int]] = []
        owners: list[int] = []
        weights: list[float] = []
        for owner, encoding in enumerate(encodings):
            ids = encoding.ids
            spans = cut(len(ids), self._content_tokens)[:MAX_WINDOWS]
            read = spans[-1][1]
            for start, end in spans:
                windows.append([*self._before, *ids[start:end], *self._after])
                owners.append(owner)
                weights.append((end - start) / read if read else 1.0)
        return PreparedTexts(
            hashes=tuple(map(input_hash, normalised)),
            batches=tuple(pack(windows, budget=self._backend.token_budget, padding_id=self._padding_id)),
            owners=np.array(owners, dtype=np.int64),
            weights=np.array(weights, dtype=np.float64),
        )

    def infer(self, prepared: Prepared) -> list[Classification]:
        """Raises PermanentError when the network fails or gives scores that aren't numbers."""
        if not isinstance(prepared, PreparedTexts):
            raise TypeError("infer takes what prepare of the same classifier returned")
        scores = self._backend.run(prepared.batches)
        by_task = {
            task: self._averaged(prepared, [batch[task] for batch in scores], len(labels)).tolist()
            for task, labels in self._settings.tasks.items()
        }
        return [
            Classification(tasks=self._named(by_task, number), model=self._ref, input_hash=digest)
            for number, digest in enumerate(prepared.hashes)
        ]

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        return self.infer(self.prepare(texts))

    def _averaged(
        self, prepared: PreparedTexts, scores: Sequence[NDArray[np.float32]], labels: int
    ) -> NDArray[np.float64]:
        """Probabilities by text, shape (texts, labels): the mean over its windows by tokens, rows summing to 1."""
        out = np.zeros((len(prepared), labels))
        for batch, rows in zip(prepared.batches, scores, strict=True):
            windows = np.array(batch.windows)
            np.add.at(out, prepared.owners[windows], rows * prepared.weights[windows, None])
        if not np.isfinite(out).all():
            raise PermanentError("the network gave scores that are not numbers")
        normed: NDArray[np.float64] = out / out.sum(axis=1, keepdims=True)
        return normed

    def _named(self, by_task: Mapping[str, Sequence[Sequence[float]]], number: int) -> dict[str, dict[str, float]]:
        return {
            task: dict(zip(labels, by_task[task][number], strict=True)) for task, labels in self._settings.tasks.items()
        }

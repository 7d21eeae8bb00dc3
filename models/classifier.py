"""The classifier: normalises, tokenises, cuts into windows, runs the network, averages."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from domain.classification import Classification, ModelRef
from domain.errors import PermanentError
from domain.ports import Names, Prepared
from models.backend import Backend, Logits
from models.batches import Batch, cut, pack
from models.cache import Reading, ScoreCache
from models.entities import find
from models.folder import Kind, ModelSettings
from models.normalise import input_hash, normalise
from models.scores import probabilities

MAX_WINDOWS = 256
"""A text's windows past this many are not read: with 126 tokens each, more than the longest text of words that the
service lets in; only 64 KiB of lone signs would have more."""


@dataclass(frozen=True, kw_only=True)
class Mention:
    """Consecutive tokens of one window that speak of a symbol."""

    text: int
    """Which of the texts to be read."""
    symbol: str
    window: int
    rows: slice
    """Which of the window's tokens, special ones counted."""


@dataclass(frozen=True, kw_only=True)
class PreparedTexts:
    """Texts as batches of windows. What is said twice is read once, and what the cache knows not at all."""

    readings: tuple[Reading, ...]
    """Of each text."""
    known: Mapping[Reading, Classification]
    unread: tuple[Reading, ...]
    """The others, each once: the texts to be read."""
    batches: tuple[Batch, ...]
    starts: NDArray[np.int64]
    """The first window of each text to be read, shape (unread,)."""
    weights: NDArray[np.float64]
    """Each window's share of its text's tokens, shape (windows,); a text's sum to 1."""
    mentions: tuple[Mention, ...]

    def __len__(self) -> int:
        return len(self.readings)


class TextClassifier:
    """A model folder's network behind `domain.ports.Classifier`. Thread-safe."""

    def __init__(
        self,
        settings: ModelSettings,
        tokenizer: Tokenizer,
        backend: Backend,
        *,
        padding_id: int = 0,
        cache: ScoreCache | None = None,
    ) -> None:
        """`tokenizer` neither pads nor cuts. Raises PermanentError when its special tokens fill a window."""
        self._settings = settings
        self._ref = settings.ref
        self._tokenizer = tokenizer
        self._backend = backend
        self._padding_id = padding_id
        self._cache = cache
        kinds = {task: settings.kinds.get(task, Kind.SINGLE) for task in settings.tasks}
        self._text_kinds = {task: kind for task, kind in kinds.items() if kind is not Kind.ENTITY}
        self._entity_task = next((task for task, kind in kinds.items() if kind is Kind.ENTITY), None)
        self._before, self._after = special_tokens(tokenizer)
        special = len(self._before) + len(self._after)
        self._content_tokens = settings.window_tokens - special
        if self._content_tokens < 1:
            raise PermanentError(
                f"{self._ref.name}: windows of {settings.window_tokens} tokens have no room for a text beside "
                f"{special} special ones; mend window_tokens, or the checkpoint's model_max_length"
            )

    @property
    def settings(self) -> ModelSettings:
        """Of the model folder, or what stands for them where there is none."""
        return self._settings

    @property
    def tokenizer(self) -> Tokenizer:
        """It neither pads nor cuts."""
        return self._tokenizer

    @property
    def backend(self) -> Backend:
        """What runs the network."""
        return self._backend

    @property
    def model(self) -> ModelRef:
        return self._ref

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._settings.languages)

    def prepare(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> PreparedTexts:
        """Raises ValueError when there are names, but not for each text."""
        normalised = [normalise(text) for text in texts]
        asked = names or [{}] * len(texts)
        readings = [self._reading(text, of_text) for text, of_text in zip(normalised, asked, strict=True)]
        distinct = dict(zip(readings, normalised, strict=True))
        known = {reading: answer for reading in distinct if self._cache and (answer := self._cache.get(reading))}
        unread = [reading for reading in distinct if reading not in known]
        encodings = self._encoded([distinct[reading] for reading in unread], offsets=any(r.mentions for r in unread))
        windows: list[list[int]] = []
        starts: list[int] = []
        weights: list[float] = []
        mentions: list[Mention] = []
        for number, (reading, encoding) in enumerate(zip(unread, encodings, strict=True)):
            ids = encoding.ids
            spans = cut(len(ids), self._content_tokens)[:MAX_WINDOWS]
            read = spans[-1][1]
            mentions += self._mentions(number, reading, encoding, spans, first_window=len(windows))
            starts.append(len(windows))
            for start, end in spans:
                # Of no token at all (an empty text, a tokenizer without special ones) no network makes a number.
                windows.append([*self._before, *ids[start:end], *self._after] or [self._padding_id])
                weights.append((end - start) / read if read else 1.0)
        return PreparedTexts(
            readings=tuple(readings),
            known=known,
            unread=tuple(unread),
            batches=tuple(pack(windows, budget=self._backend.token_budget, padding_id=self._padding_id)),
            starts=np.array(starts, dtype=np.int64),
            weights=np.array(weights, dtype=np.float64),
            mentions=tuple(mentions),
        )

    def infer(self, prepared: Prepared) -> list[Classification]:
        """Raises PermanentError when the network fails or gives scores that aren't numbers."""
        if not isinstance(prepared, PreparedTexts):
            raise TypeError("infer takes what prepare of the same classifier returned")
        answers = dict(prepared.known)
        if prepared.unread:
            logits = self._backend.run(prepared.batches)
            by_task = {
                task: self._averaged(prepared, [batch[task] for batch in logits], task).tolist()
                for task in self._text_kinds
            }
            entities = self._entities(prepared, logits)
            for number, reading in enumerate(prepared.unread):
                answers[reading] = Classification(
                    tasks={task: self._named(task, rows[number]) for task, rows in by_task.items()},
                    model=self._ref,
                    input_hash=reading.input_hash,
                    entities=entities.get(number, {}),
                )
                if self._cache:
                    self._cache.put(reading, answers[reading])
        return [answers[reading] for reading in prepared.readings]

    def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
        return self.infer(self.prepare(texts, names))

    def _reading(self, text: str, names: Names) -> Reading:
        found = find(text, names) if names and self._entity_task else {}
        return Reading(self._ref.version, input_hash(text), tuple(found.items()))

    def _encoded(self, texts: list[str], *, offsets: bool) -> Sequence[Any]:
        # Offsets cost a third of the time of tokenising.
        encode = self._tokenizer.encode_batch if offsets else self._tokenizer.encode_batch_fast
        return encode(texts, add_special_tokens=False)

    def _mentions(
        self, text: int, reading: Reading, encoding: Any, spans: Sequence[tuple[int, int]], *, first_window: int
    ) -> Iterator[Mention]:
        if not reading.mentions:
            return
        # Bisected: a text may say one name ten thousand times.
        token_starts, token_ends = zip(*encoding.offsets, strict=True) if encoding.offsets else ((), ())
        window_ends = [end for _, end in spans]
        shift = len(self._before)
        for symbol, places in reading.mentions:
            for place_start, place_end in places:
                first, last = bisect_right(token_ends, place_start), bisect_left(token_starts, place_end)
                for number in range(bisect_right(window_ends, first), len(spans)):
                    start, end = spans[number]
                    rows = range(max(first, start) - start, min(last, end) - start)
                    if not rows:
                        break
                    where = slice(rows.start + shift, rows.stop + shift)
                    yield Mention(text=text, symbol=symbol, window=first_window + number, rows=where)

    def _averaged(
        self, prepared: PreparedTexts, logits: Sequence[NDArray[np.float32]], task: str
    ) -> NDArray[np.float64]:
        """Probabilities by text to be read, shape (unread, labels): the mean over its windows by tokens."""
        by_window = np.empty((len(prepared.weights), len(self._settings.tasks[task])))
        kind, temperature = self._text_kinds[task], self._settings.temperatures.get(task, 1.0)
        for batch, rows in zip(prepared.batches, logits, strict=True):
            by_window[list(batch.windows)] = probabilities(rows, kind=kind, temperature=temperature)
        out: NDArray[np.float64] = np.add.reduceat(by_window * prepared.weights[:, None], prepared.starts)
        return _finite(out)

    def _entities(self, prepared: PreparedTexts, logits: Sequence[Logits]) -> dict[int, dict[str, dict[str, float]]]:
        """Text → symbol → label probabilities: of the mean over the tokens of all its mentions."""
        if not prepared.mentions or self._entity_task is None:
            return {}
        task = self._entity_task
        rows: dict[int, NDArray[np.float32]] = {}
        for batch, by_task in zip(prepared.batches, logits, strict=True):
            rows.update(zip(batch.windows, by_task[task], strict=True))
        by_symbol: dict[tuple[int, str], list[NDArray[np.float32]]] = {}
        for mention in prepared.mentions:
            by_symbol.setdefault((mention.text, mention.symbol), []).append(rows[mention.window][mention.rows])
        entities: dict[int, dict[str, dict[str, float]]] = {}
        temperature = self._settings.temperatures.get(task, 1.0)
        for (text, symbol), parts in by_symbol.items():
            mean = np.concatenate(parts).mean(axis=0)
            scores = _finite(probabilities(mean, kind=Kind.ENTITY, temperature=temperature))
            entities.setdefault(text, {})[symbol] = self._named(task, scores.tolist())
        return entities

    def _named(self, task: str, scores: Sequence[float]) -> dict[str, float]:
        return dict(zip(self._settings.tasks[task], scores, strict=True))


def special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before a text and after it."""
    encoding = tokenizer.encode("a")
    special = encoding.special_tokens_mask
    content = special.index(0)
    last = len(special) - special[::-1].index(0)
    return encoding.ids[:content], encoding.ids[last:]


def _finite(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(scores).all():
        raise PermanentError("the network gave scores that are not numbers")
    return scores

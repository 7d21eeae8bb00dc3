"""The first step of the classify stage: what the messages say, and their texts made ready for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.classification import Unscored
from domain.document import Document, Kind
from domain.errors import InvalidInput
from domain.ports import Names, Prepared
from stream import marks, messages
from stream.compose import End, Item
from stream.incoming import Incoming
from stream.live_model import LiveModel
from stream.messages import MessagePolicy
from stream.score import Scorer


@dataclass(kw_only=True)
class Reading:
    """A batch, read and made ready for the model that it belongs to."""

    scorer: Scorer
    config_hash: str
    items: list[Item]
    to_score: list[Item]
    texts: list[str]
    """Of what is to be scored."""
    names: Sequence[Names]
    """Whom to look for in each of them: its document's symbols."""
    prepared: Prepared | None


class Reader:
    """Reads batches for whichever model serves at that moment. Blocking."""

    def __init__(self, live: LiveModel, *, sources: Mapping[str, Kind], limits: MessagePolicy, names: Names) -> None:
        """`sources`: what sort of document each topic brings. `names`: by which texts speak of the symbols, beside
        their cashtags."""
        self._live = live
        self._sources = sources
        self._limits = limits
        self._names = names

    def read(self, incoming: Sequence[Incoming]) -> Reading:
        """One item per message, in order: what can't be read has its reason for content, what the model does not speak
        its outcome."""
        model = self._live.get()
        scorer = Scorer(model.classifier)
        items = [Item(message, self._content(message)) for message in incoming]
        to_score, texts, names = [], [], []
        for item in items:
            if isinstance(item.content, Document):
                if _speaks(item.content.lang, model.classifier.languages):
                    to_score.append(item)
                    texts.append(item.content.content)
                    names.append({symbol: self._names.get(symbol, ()) for symbol in item.content.symbols})
                else:
                    item.outcome = Unscored.LANGUAGE
        return Reading(
            scorer=scorer,
            config_hash=model.config_hash,
            items=items,
            to_score=to_score,
            texts=texts,
            names=names,
            prepared=scorer.prepare(texts, names) if texts else None,
        )

    def _content(self, message: Incoming) -> Document | End | InvalidInput:
        try:
            if message.headers and marks.is_end(message.headers):
                return End(marks.decode_end(message.value, message.timestamp_ms, self._limits.max_ahead))
            return messages.decode(
                message.value, message.headers, message.timestamp_ms, self._sources[message.topic], self._limits
            )
        except InvalidInput as error:
            return error


def _speaks(lang: str | None, languages: frozenset[str]) -> bool:
    return lang is None or lang.partition("-")[0] in languages

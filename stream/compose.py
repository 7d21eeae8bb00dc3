"""From scored documents to the messages that say so: documents and then marks, per partition of the scored topic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from domain.classification import Classification, ScoredDocument, Unscored
from domain.document import Document
from domain.errors import InvalidInput
from domain.log import Mark, ScoredRecord
from stream import wire
from stream.dead_letters import DeadLetter, dead_letter
from stream.incoming import Incoming, TopicPartition
from stream.marks import Progress
from stream.producer import Record, partition_for

SCORED_TOO_LARGE = "scored_too_large"


@dataclass(frozen=True, slots=True)
class End:
    """A sender's word that everything published before `at` was sent."""

    at: datetime


Outcome = Classification | Unscored | InvalidInput


@dataclass(slots=True)
class Item:
    """One message, what it holds, and what became of it."""

    incoming: Incoming
    content: Document | End | InvalidInput
    outcome: Outcome | None = None
    """Set for documents, once they are through the model or known not to go there."""


@dataclass(kw_only=True)
class Composed:
    """What a batch causes, ready to be written."""

    runs: dict[TopicPartition, list[Record]] = field(default_factory=lambda: defaultdict(list))
    letters: list[DeadLetter] = field(default_factory=list)
    marks: tuple[Mark, ...] = ()
    scored: int = 0
    unscored: int = 0


@dataclass(frozen=True, kw_only=True)
class Composer:
    """Makes the messages of a batch."""

    stage: str
    scored_topic: str
    max_scored_bytes: int

    def compose(
        self,
        items: Sequence[Item],
        progress: Progress,
        *,
        config_hash: str,
        now: datetime,
        monotonic: float,
        first: tuple[Mark, ...] = (),
    ) -> Composed:
        """The messages of these items, in order, and the marks of the sources that they moved. Call it once.
        `config_hash` names how the model ran that scored them; `first`: marks that go before all that."""
        composed = Composed()
        self.add_marks(composed, first, progress.fan_out)
        for item in items:
            place = item.incoming.place
            progress.passed(place, item.incoming.offset, monotonic)
            try:
                self._add(item, place, progress, composed, config_hash)
            except InvalidInput as error:
                composed.letters.append(dead_letter(item.incoming, stage=self.stage, error=error, now=now))
        self.add_marks(composed, progress.take_marks(), progress.fan_out)
        return composed

    def add_marks(self, composed: Composed, marks: tuple[Mark, ...], partitions: int) -> None:
        """Append marks to every partition of the scored topic, behind what is there already."""
        if marks:
            composed.marks += marks
            message = Record(None, wire.encode_marks(marks))
            for number in range(partitions):
                composed.runs[TopicPartition(self.scored_topic, number)].append(message)

    def _add(self, item: Item, place: TopicPartition, progress: Progress, composed: Composed, config_hash: str) -> None:
        if isinstance(item.content, End):
            progress.ended(place, item.content.at)
            return
        scored = _scored(item, config_hash)
        origin = progress.published(place, item.incoming.offset, scored.document.published_at)
        value = wire.encode_document(ScoredRecord(scored=scored, origin=origin))
        if len(value) > self.max_scored_bytes:
            raise InvalidInput(
                SCORED_TOO_LARGE,
                f"the scored document has {len(value):,} bytes, the limit is {self.max_scored_bytes:,}: shorten it",
            )
        key = scored.document.id.encode()
        number = partition_for(key, progress.fan_out)
        composed.runs[TopicPartition(self.scored_topic, number)].append(Record(key, value))
        if scored.unscored is None:
            composed.scored += 1
        else:
            composed.unscored += 1


def places_of(items: Sequence[Item]) -> Mapping[TopicPartition, int]:
    """The first offset of each partition among the items."""
    firsts: dict[TopicPartition, int] = {}
    for item in items:
        firsts.setdefault(item.incoming.place, item.incoming.offset)
    return firsts


def _scored(item: Item, config_hash: str) -> ScoredDocument:
    match item.content, item.outcome:
        case InvalidInput() as error, _:
            raise error
        case Document(), InvalidInput() as error:
            raise error
        case Document() as document, Unscored() as reason:
            return ScoredDocument(document=document, unscored=reason, config_hash=config_hash)
        case Document() as document, Classification() as classification:
            return ScoredDocument(document=document, classification=classification, config_hash=config_hash)
    raise AssertionError(f"an item came through without an outcome: {item}")

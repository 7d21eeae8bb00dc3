"""What an operator does with dead letters: list them, look at one, send them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from stream.dead_letters import DeadLetter
from stream.kafka import KafkaConnection


@dataclass(frozen=True, kw_only=True)
class StoredLetter:
    """A dead letter and where it lies in the dead-letter topic."""

    partition: int
    offset: int
    stored_at: datetime
    """The record's timestamp there."""
    letter: DeadLetter

    @property
    def place(self) -> str:
        """`partition:offset`, as the commands take it."""
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, kw_only=True)
class LetterFilter:
    """Which letters: those that meet all that is given."""

    reason: str | None = None
    stage: str | None = None
    topic: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class LetterList:
    """The newest letters, the newest first, and how many there are of each reason among all that were looked at."""

    letters: tuple[StoredLetter, ...]
    reasons: dict[str, int]
    total: int


@dataclass(frozen=True, kw_only=True)
class ReplaySummary:
    """What a replay did."""

    replayed: int
    skipped: int
    """Replayed before."""


class DeadLetters:
    """The dead-letter topic. Blocking. Errors as of stream.admin.KafkaAdmin."""

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        raise NotImplementedError

    def recent(self, which: LetterFilter = LetterFilter(), *, limit: int = 20) -> LetterList:
        """The newest letters that pass the filter."""
        raise NotImplementedError

    def at(self, partition: int, offset: int) -> StoredLetter:
        """One letter. Raises InvalidInput when there is none at that place."""
        raise NotImplementedError

    def replay(
        self,
        which: LetterFilter | Sequence[tuple[int, int]],
        *,
        again: bool = False,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> ReplaySummary:
        """Send letters back to the topics that they came from, once each; `again`: also those replayed before."""
        raise NotImplementedError

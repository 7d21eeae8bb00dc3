"""Feeding a file to the source topics: in the order of its dates, at a chosen speed, ended by explicit end marks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from domain.document import Kind
from stream.kafka import KafkaConnection


class FeedFormat(StrEnum):
    """What a file can be; JSONL and CSV may be compressed with gzip."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, kw_only=True)
class FeedSource:
    """What to read; `path` None is standard input. Without a format the name's ending tells (else JSONL)."""

    path: Path | None
    format: FeedFormat | None = None


@dataclass(frozen=True, kw_only=True)
class FeedPolicy:
    """How to feed."""

    topics: Mapping[Kind, str]
    """The source topics."""
    kind: Kind = Kind.NEWS
    """What rows are that have no `kind` of their own."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Under which name a field of the document stands in the file: {"published_at": "timestamp"}."""
    speed: float | None = 1.0
    """How many times faster than the documents' own dates; None: as fast as Kafka takes them."""
    shift_to_now: bool = False
    """Move all dates by one constant, so that the last document's date is the moment at which it will be sent."""
    settle: timedelta = timedelta(0)
    """How much further than the last date (rounded up to a whole minute) the end marks let event time come."""
    skip_bad: bool = False
    """Go on without the rows that can't be read; otherwise the first one ends the feed."""
    id_prefix: str = ""
    """Put before every id, so that what was fed before counts as new."""


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that can't be fed."""

    line: int
    """Line of the file (JSONL, CSV) or number of the row (Parquet), from 1."""
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class FeedProgress:
    """How far a feed has come. `total` is None for what can't be read twice."""

    sent: int
    total: int | None
    bad: int
    published_at: datetime | None
    """As sent, of the newest document."""


@dataclass(frozen=True, kw_only=True)
class FeedSummary:
    """What a feed did. Dates are as sent."""

    documents: int
    bytes: int
    bad: int
    first_published_at: datetime | None
    last_published_at: datetime | None
    ended_at: datetime | None
    """What the end marks say; None when it was interrupted: then there are none."""
    seconds: float


def run_feed(
    connection: KafkaConnection,
    source: FeedSource,
    policy: FeedPolicy,
    *,
    on_progress: Callable[[FeedProgress], None] = lambda _: None,
    on_bad_row: Callable[[BadRow], None] = lambda _: None,
) -> FeedSummary:
    """Feed a file. Call it from the main thread: Ctrl-C ends it after what was sent is acknowledged, and the summary
    tells how far it came.

    Raises InvalidInput for a row that can't be read (unless skipped) and for a file that is not what it should be,
    TemporaryError when Kafka can't be reached, PermanentError when a topic is missing.
    """
    raise NotImplementedError

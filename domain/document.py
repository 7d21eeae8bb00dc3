"""A document as it came in: a news item or a comment."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from domain.timeline import require_utc


class Kind(StrEnum):
    """What sort of document it is; it decides who its publisher is."""

    NEWS = "news"
    COMMENT = "comment"


@dataclass(frozen=True, kw_only=True)
class Document:
    """One news item or comment. Times are in UTC; `symbols` are upper-case, unique, in order of appearance."""

    id: str
    """As given by the sender, or derived from source, url and text, so that a re-sent document is the same document."""
    kind: Kind
    text: str
    published_at: datetime
    """Event time: when it was published. Windows, lateness and rules go by this alone."""
    received_at: datetime
    """The Kafka record's timestamp."""
    title: str | None = None
    source: str | None = None
    author: str | None = None
    url: str | None = None
    lang: str | None = None
    """BCP 47 tag as given; None when the sender did not say."""
    symbols: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_utc("published_at", self.published_at)
        require_utc("received_at", self.received_at)

    @property
    def publisher(self) -> str | None:
        """Who speaks: the source of a news item, the author of a comment; None when unknown."""
        return self.source if self.kind is Kind.NEWS else self.author

    @property
    def content(self) -> str:
        """What the classifier reads (`content_of`)."""
        return content_of(self.title, self.text)

    @cached_property
    def key(self) -> bytes:
        """The internal id: 16 bytes (BLAKE2b-128 of the id), the same for the same id in every process."""
        return document_key(self.id)


def content_of(title: str | None, text: str) -> str:
    """The title, where there is one that the text does not repeat, then the text."""
    return f"{title}\n\n{text}" if title and not text.startswith(title) else text


def document_key(document_id: str) -> bytes:
    """BLAKE2b with a 16-byte digest (RFC 7693) of the id's UTF-8: the internal id of a document."""
    return hashlib.blake2b(document_id.encode(), digest_size=16).digest()

"""Documents given over HTTP: checked as the classify stage will check them, then produced to the source topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.document import Document, Kind
from domain.errors import InvalidInput
from stream.kafka import KafkaConnection


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why one of the documents is not valid."""

    index: int
    reason: str
    message: str


class Refused(InvalidInput):
    """Some of the documents are not valid; none was published."""

    def __init__(self, refusals: Sequence[Refusal], count: int) -> None:
        super().__init__("documents_refused", f"{len(refusals)} of {count} documents are not valid; none was published")
        self.refusals = tuple(refusals)


class KafkaPublisher:
    """Puts documents on the source topics. Blocking, thread-safe."""

    def __init__(self, connection: KafkaConnection, *, topics: Mapping[Kind, str]) -> None:
        raise NotImplementedError

    def publish(self, items: Sequence[Mapping[str, Any]]) -> tuple[Document, ...]:
        """The documents as they will be read, in order, once Kafka has acknowledged all of them.

        Each item is a document's fields and its `kind` (`news` when absent). Raises Refused, publishing none, when any
        is not valid; TemporaryError when Kafka does not take them in time (some may have been published: sending them
        again is safe, by their ids).
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""
        raise NotImplementedError

"""Documents given over HTTP: checked as the classify stage will check them, then produced to the source topics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError

from domain.document import Document, Kind
from domain.errors import GroundswellError, InvalidInput, TemporaryError
from stream import messages
from stream.admin import KafkaAdmin, translate
from stream.fields import encode, kind_of
from stream.kafka import KafkaConnection
from stream.messages import MessagePolicy, Reason
from stream.topics import require_topics

_CONNECT_TIMEOUT: Final = 5.0
_PAUSE: Final = 5.0
"""Seconds after an attempt to connect that failed in which none is made."""
_REMEMBERED: Final = 30.0
"""Seconds for which its failure is an answer while the next attempt, or the one after it, is under way."""
_RECONNECT_MS: Final = 1000
_DELIVERY_TIMEOUT: Final = 15.0
"""Seconds. A caller waits for it; what Kafka takes later than that is sent again by the caller, with the same id."""
_MOST_BYTES: Final = 1_000_000
"""Of a message's value. A topic takes 1,048,588 of a message, its key and what Kafka adds, unless told."""


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


class _Checked(NamedTuple):
    document: Document
    value: bytes


class KafkaPublisher:
    """Puts documents on the source topics. Blocking, thread-safe; connects at the first call."""

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        topics: Mapping[Kind, str],
        policy: MessagePolicy | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._policy = policy or MessagePolicy()
        self._clock = clock
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None
        self._failure: GroundswellError | None = None
        """Why the last attempt to connect failed; None when it did not."""
        self._failed_at = 0.0

    def publish(self, items: Sequence[object]) -> tuple[Document, ...]:
        """The documents as they will be read, in order, once Kafka has acknowledged all of them.

        Each item is a mapping: a document's fields and its `kind` (`news` when absent). Raises Refused, publishing
        none, when any is not valid; TemporaryError when Kafka does not take them in time (some may have been published:
        sending them again is safe, by their ids); PermanentError when a person must act.
        """
        timestamp_ms = round(self._clock().timestamp() * 1000)
        checked = self._check(items, timestamp_ms)
        try:
            producer = self._connected()
            deadline = time.monotonic() + _DELIVERY_TIMEOUT
            sent = [
                producer.send(self._topics[document.kind], value, key=document.id.encode(), timestamp_ms=timestamp_ms)
                for document, value in checked
            ]
            for future in sent:
                future.get(timeout=max(0.0, deadline - time.monotonic()))
        except KafkaError as error:
            # An idempotent producer that failed may have failed for good; the next call makes a new one.
            self.close()
            raise translate(error, self._connection) from error
        return tuple(document for document, _ in checked)

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        with self._lock:
            if self._producer is not None:
                with suppress(KafkaError):  # what it could not send
                    self._producer.close(timeout=0)
                self._producer = None

    def _check(self, items: Sequence[object], timestamp_ms: int) -> list[_Checked]:
        checked: list[_Checked] = []
        refusals: list[Refusal] = []
        for index, item in enumerate(items):
            try:
                checked.append(self._checked(item, timestamp_ms))
            except InvalidInput as error:
                refusals.append(Refusal(index=index, reason=error.reason, message=str(error)))
        if refusals:
            raise Refused(refusals, len(items))
        return checked

    def _checked(self, item: object, timestamp_ms: int) -> _Checked:
        if not isinstance(item, Mapping):
            raise InvalidInput("not_an_object", "a document must be a JSON object with its text")
        given = dict(item)
        kind = kind_of(given.pop("kind", None), Kind.NEWS)
        value = encode(given)
        document = messages.decode(value, (), timestamp_ms, kind, self._policy)
        if len(value) > _MOST_BYTES:  # of fields that are not read, or of symbols that repeat themselves
            raise InvalidInput(
                Reason.FIELD_TOO_LONG,
                f"as JSON it has {len(value):,} bytes, the limit is {_MOST_BYTES:,}: leave out what is not read",
            )
        return _Checked(document, value)

    def _connected(self) -> KafkaProducer:
        # An attempt takes seconds, and each who waits holds a thread that others need: while Kafka is away one caller
        # at a time tries again, and the rest hear at once what was found last.
        if self._lock.locked():
            self._raise_failure(_REMEMBERED)
        with self._lock:
            if self._producer is None:
                self._raise_failure(_PAUSE)
                try:
                    self._producer = self._connect()
                except GroundswellError as error:
                    if isinstance(error, TemporaryError):
                        error.delay = _PAUSE
                    self._failure, self._failed_at = copy(error), time.monotonic()
                    raise
                self._failure = None
            return self._producer

    def _raise_failure(self, seconds: float) -> None:
        """Raise what the last attempt to connect did, if it is not longer ago than this."""
        failure = self._failure
        if failure is not None and time.monotonic() - self._failed_at < seconds:
            raise copy(failure)  # of one that is raised again and again the trace grows

    def _connect(self) -> KafkaProducer:
        with KafkaAdmin(self._connection, timeout=_CONNECT_TIMEOUT) as admin:
            require_topics(admin, tuple(self._topics.values()))
        try:
            return KafkaProducer(
                client_id="groundswell-publish",
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                max_request_size=4 << 20,
                bootstrap_timeout_ms=round(_CONNECT_TIMEOUT * 1000),
                max_block_ms=round(_CONNECT_TIMEOUT * 1000),
                request_timeout_ms=round(_DELIVERY_TIMEOUT * 1000 / 2),
                delivery_timeout_ms=round(_DELIVERY_TIMEOUT * 1000),
                reconnect_backoff_max_ms=_RECONNECT_MS,
                **self._connection.kafka_python(),
            )
        except KafkaError as error:
            raise translate(error, self._connection) from error

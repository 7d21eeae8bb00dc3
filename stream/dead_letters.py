"""Dead letters: what could not be processed, unchanged, with the reason in headers (after Kafka Connect's
`__connect.errors.*`)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from domain.errors import InvalidInput
from domain.timeline import EPOCH, to_rfc3339
from stream.incoming import Headers, Incoming, TopicPartition
from stream.kafka import KafkaConnection
from stream.producer import Producer, Record, TooLarge

log = logging.getLogger(__name__)

PREFIX: Final = "groundswell.errors."
TOPIC: Final = PREFIX + "topic"
PARTITION: Final = PREFIX + "partition"
OFFSET: Final = PREFIX + "offset"
STAGE: Final = PREFIX + "stage"
REASON: Final = PREFIX + "reason"
MESSAGE: Final = PREFIX + "message"
ATTEMPT: Final = PREFIX + "attempt"
AT: Final = PREFIX + "at"
TIMESTAMP: Final = PREFIX + "timestamp"
VALUE_BYTES: Final = PREFIX + "value_bytes"
"""Only of a letter whose value the topic did not take: its size."""

_MESSAGE_LIMIT: Final = 1000


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One message and why it was refused. `headers` are the original ones."""

    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    message: str
    attempt: int
    """1 for the first time; one more each time that it was replayed and refused again."""
    at: datetime
    """When it was refused (wall-clock time)."""
    timestamp_ms: int | None = None
    """The original record's timestamp: what a date is judged by, when the letter is sent back. None: not known."""
    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(incoming: Incoming, *, stage: str, error: InvalidInput, now: datetime) -> DeadLetter:
    """What becomes of a message that was refused. A replayed one says so in its headers (see `replay_headers`), and
    its attempts are counted on."""
    earlier = [value for name, value in incoming.headers if name == ATTEMPT]
    return DeadLetter(
        topic=incoming.topic,
        partition=incoming.partition,
        offset=incoming.offset,
        stage=stage,
        reason=error.reason,
        message=str(error)[:_MESSAGE_LIMIT],
        attempt=1 + max((_number(value) for value in earlier), default=0),
        at=now,
        timestamp_ms=incoming.timestamp_ms,
        key=incoming.key,
        value=incoming.value,
        headers=tuple(header for header in incoming.headers if not header[0].startswith(PREFIX)),
    )


def encode_headers(letter: DeadLetter) -> Headers:
    """The original headers, then ours."""
    ours = {
        TOPIC: letter.topic,
        PARTITION: str(letter.partition),
        OFFSET: str(letter.offset),
        STAGE: letter.stage,
        REASON: letter.reason,
        MESSAGE: letter.message,
        ATTEMPT: str(letter.attempt),
        AT: to_rfc3339(letter.at, timespec="milliseconds"),
    }
    if letter.timestamp_ms is not None:
        ours[TIMESTAMP] = str(letter.timestamp_ms)
    return (*letter.headers, *((name, text.encode("utf-8", "replace")) for name, text in ours.items()))


def decode_dead_letter(incoming: Incoming) -> DeadLetter:
    """Read a message of the dead-letter topic. What is missing or unreadable in its headers is shown as unknown, so
    that letters from elsewhere can be listed too."""
    ours = {
        name: (value or b"").decode("utf-8", "replace") for name, value in incoming.headers if name.startswith(PREFIX)
    }
    return DeadLetter(
        topic=ours.get(TOPIC, ""),
        partition=_number(ours.get(PARTITION), -1),
        offset=_number(ours.get(OFFSET), -1),
        stage=ours.get(STAGE, ""),
        reason=ours.get(REASON, "unknown"),
        message=ours.get(MESSAGE, ""),
        attempt=_number(ours.get(ATTEMPT), 1),
        at=_time(ours.get(AT)),
        timestamp_ms=_number(ours[TIMESTAMP]) if TIMESTAMP in ours else None,
        key=incoming.key,
        value=incoming.value,
        headers=tuple(header for header in incoming.headers if not header[0].startswith(PREFIX)),
    )


def replay_headers(letter: DeadLetter) -> Headers:
    """Headers for sending a letter back to the topic that it came from: the original ones and the attempts."""
    return (*letter.headers, (ATTEMPT, str(letter.attempt).encode()))


def _number(value: bytes | str | None, otherwise: int = 0) -> int:
    try:
        return int(value) if value is not None else otherwise
    except ValueError:
        return otherwise


def _time(text: str | None) -> datetime:
    try:
        return datetime.fromisoformat(text or "").astimezone(UTC)
    except ValueError:
        return EPOCH


class DeadLetterWriter:
    """Writes dead letters to their topic, whatever their size. Opened by the first letter; for one event loop."""

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._topic = topic
        # A message may have come in compressed, far larger than its topic allows plain messages to be: gzip, because
        # every client can read it. One letter per batch, so that a large one troubles no other.
        self._producer = Producer(connection, name="dead-letters", compression="gzip")

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Returns when all are acknowledged. Raises TemporaryError when Kafka does not take them, PermanentError when
        a person must act."""
        if not letters:
            return
        partitions = await self._producer.partitions(self._topic)
        runs: dict[TopicPartition, list[Record]] = {}
        for letter in letters:
            place = TopicPartition(self._topic, letter.partition % partitions)
            runs.setdefault(place, []).append(Record(letter.key, letter.value, encode_headers(letter)))
        try:
            await self._producer.send(runs)
        except TooLarge:
            if len(letters) == 1:
                await self._producer.send({place: [_without_value(letters[0])] for place in runs})
                return
            for letter in letters:
                await self.send([letter])

    async def stop(self) -> None:
        """Close the connections."""
        await self._producer.stop()


def _without_value(letter: DeadLetter) -> Record:
    """A letter that the topic does not take even compressed says where its original lies."""
    size = len(letter.value or b"")
    log.error(
        "the dead-letter topic does not take a message of %d bytes: its original is offset %d of %s-%d",
        size,
        letter.offset,
        letter.topic,
        letter.partition,
    )
    return Record(letter.key, None, (*encode_headers(letter), (VALUE_BYTES, str(size).encode())))

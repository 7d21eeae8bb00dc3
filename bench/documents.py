"""The documents that are measured with: composed, or from a file; as the messages that a source would send."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from service import connections
from service.demo.compose_sample import compose
from service.settings import Settings
from stream.incoming import TopicPartition
from stream.producer import Producer, Record, partition_for

EVENT_RATE = 100.0
"""Documents per second of event time in a backlog, unless told: a stream of so many a second, read after an outage."""

_SENT_TOGETHER = 5_000


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of a source topic; `text` is what the classifier will see of it."""

    topic: str
    key: bytes
    value: bytes
    text: str


def rows(texts: Path | None) -> Iterator[dict[str, Any]]:
    """Documents without id and time, without end: those of the file again and again (JSONL with `text`), or composed
    ones with another seed each time round."""
    for turn in itertools.count(1):
        if texts is None:
            yield from compose(turn)
        else:
            with texts.open(encoding="utf-8") as file:
                for line in file:
                    row = json.loads(line)
                    symbols = row.get("symbols") or row.get("entities") or []
                    yield {"kind": row.get("kind", "comment"), "text": row["text"], "symbols": symbols}


def backlog(settings: Settings, count: int, *, texts: Path | None, rate: float = EVENT_RATE) -> list[Message]:
    """So many messages, published one after another at `rate` documents a second, the last of them a minute ago."""
    last = datetime.now(UTC) - timedelta(minutes=1)
    return [
        message(settings, row, number, last - timedelta(seconds=(count - number) / rate))
        for number, row in enumerate(itertools.islice(rows(texts), count), 1)
    ]


def message(settings: Settings, row: dict[str, Any], number: int, published_at: datetime) -> Message:
    """The message of a row, about 250 bytes for a headline."""
    key = f"bench-{number:08d}"
    fields = {
        **{name: value for name, value in row.items() if name != "kind"},
        "id": key,
        "url": f"https://example.com/{row['kind']}/2026/{key}",
        "published_at": published_at.isoformat(),
    }
    return Message(
        topic=settings.kafka.news_topic if row["kind"] == "news" else settings.kafka.comments_topic,
        key=key.encode(),
        value=json.dumps(fields, ensure_ascii=False).encode(),
        text=row["text"],
    )


async def fill(settings: Settings, messages: list[Message]) -> None:
    """Put them into Kafka, each partition's in order; returns when all are acknowledged."""
    producer = Producer(connections.kafka(settings), name="bench")
    for start in range(0, len(messages), _SENT_TOGETHER):
        runs: dict[TopicPartition, list[Record]] = {}
        for one in messages[start : start + _SENT_TOGETHER]:
            place = TopicPartition(one.topic, partition_for(one.key, settings.kafka.partitions))
            runs.setdefault(place, []).append(Record(one.key, one.value))
        await producer.send(runs)
    await producer.stop()

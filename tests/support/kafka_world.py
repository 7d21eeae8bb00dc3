"""Topics, messages and workers for tests of the stream against a real Kafka."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from kafka.admin import KafkaAdminClient, NewTopic
from support.classifiers import HashClassifier

from domain.log import Mark, ScoredRecord
from domain.ports import Classifier, NoTelemetry, Telemetry
from stream import wire
from stream.classify import ClassifyPolicy, ClassifyTopics, build_classify
from stream.incoming import Headers, Incoming, TopicPartition, incoming
from stream.intake import Intake, IntakePolicy
from stream.kafka import KafkaConnection
from stream.live_model import LiveModel, RunningModel
from stream.offsets import Offsets

QUICK = ClassifyPolicy(
    idle_after=1.0, idle_check=0.2, intake=IntakePolicy(max_batch=64, max_wait=0.02, tick=0.2, commit_interval=0.1)
)


class NamedTopicIds:
    """Topic ids made of the names: good enough where no topic is made anew."""

    def topic_id(self, topic: str) -> UUID:
        return uuid.uuid5(uuid.NAMESPACE_OID, topic)


class RawName(str):
    """The name of a header that kafka-python writes as these bytes."""

    __slots__ = ("_bytes",)

    def __new__(cls, name: bytes) -> RawName:
        made = super().__new__(cls, name.decode(errors="replace"))
        made._bytes = name
        return made

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self._bytes


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A message to be written."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True)
class Scored:
    """What one partition of the scored topic holds."""

    documents: list[tuple[int, ScoredRecord]]
    marks: list[tuple[int, Mark]]


def make_topics(bootstrap: str, partitions: dict[str, int], configs: dict[str, dict[str, str]] | None = None) -> None:
    """Create topics, each with one replica."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics(
            [
                NewTopic(name, count, 1, topic_configs=(configs or {}).get(name, {}))
                for name, count in partitions.items()
            ]
        )
    finally:
        admin.close()


async def produce(bootstrap: str, messages: Iterable[Sent], **settings: Any) -> None:
    """Write messages in their order; returns when all are acknowledged."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=200_000, linger_ms=2, **settings)
    await producer.start()
    try:
        sends = [
            await producer.send(
                message.topic,
                message.value,
                key=message.key,
                partition=message.partition,
                timestamp_ms=message.timestamp_ms,
                headers=list(message.headers),
            )
            for message in messages
        ]
        await asyncio.gather(*sends)
    finally:
        await producer.stop()


async def read_all(bootstrap: str, topic: str) -> dict[int, list[Incoming]]:
    """Everything that a topic holds now, by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, max_partition_fetch_bytes=64 << 20)
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            await consumer._client._wait_on_metadata(topic)
            places = [KafkaPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
            consumer.assign(places)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(places)
            found: dict[int, list[Incoming]] = {place.partition: [] for place in places}
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for place, records in (await consumer.getmany(timeout_ms=200)).items():
                    found[place.partition].extend(incoming(record) for record in records)
    finally:
        await consumer.stop()
    return found


async def eventually(holds: Callable[[], Awaitable[Any]], *, within: float = 20.0, every: float = 0.1) -> Any:
    """What `holds` returns once it is true."""
    deadline = time.monotonic() + within
    while True:
        result = await holds()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{getattr(holds, '__name__', holds)} did not come true within {within} s")
        await asyncio.sleep(every)


def document(id: str, **fields: Any) -> bytes:  # noqa: A002 - the name of the field
    """The value of a good message."""
    return json.dumps({"id": id, "text": f"Shares fell. {id}", "source": "Example Wire", **fields}).encode()


@dataclass
class CountingTelemetry(NoTelemetry):
    """Remembers what was counted: name and label values → how often."""

    counts: dict[tuple[str, ...], float] = field(default_factory=dict)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        key = (name, *labels.values())
        self.counts[key] = self.counts.get(key, 0) + amount


@dataclass(kw_only=True)
class ClassifyWorld:
    """Source topics, a scored topic, a dead-letter topic and a group that no other test uses."""

    bootstrap: str
    topics: ClassifyTopics
    group: str
    partitions: int

    @property
    def sources(self) -> list[TopicPartition]:
        """Every source partition."""
        names = self.topics.sources
        return [TopicPartition(topic, number) for topic in names for number in range(self.partitions)]

    @classmethod
    def make(
        cls,
        bootstrap: str,
        *,
        partitions: int = 2,
        scored_partitions: int = 2,
        configs: dict[str, dict[str, str]] | None = None,
    ) -> ClassifyWorld:
        """`configs`: of the topics `news`, `comments`, `scored` and `dead_letters`."""
        tag = uuid.uuid4().hex[:10]
        topics = ClassifyTopics(
            news=f"news-{tag}", comments=f"comments-{tag}", scored=f"scored-{tag}", dead_letters=f"dead-{tag}"
        )
        counts = {topics.news: partitions, topics.comments: partitions, topics.scored: scored_partitions}
        named = {getattr(topics, name): config for name, config in (configs or {}).items()}
        make_topics(bootstrap, {**counts, topics.dead_letters: 1}, named)
        return cls(bootstrap=bootstrap, topics=topics, group=f"classify-{tag}", partitions=partitions)

    def intake(
        self,
        *,
        classifier: Classifier | None = None,
        policy: ClassifyPolicy = QUICK,
        telemetry: Telemetry | None = None,
        model: LiveModel | None = None,
        **options: Any,
    ) -> Intake:
        """A worker, not started; `options` are build_classify's. Without `model` there is one that nobody exchanges."""
        fixed = RunningModel(classifier=classifier or HashClassifier(), config_hash="c0ffee")
        return build_classify(
            connection=KafkaConnection(bootstrap_servers=self.bootstrap),
            topics=self.topics,
            group=self.group,
            model=model or LiveModel(fixed),
            topic_ids=NamedTopicIds(),
            policy=policy,
            telemetry=telemetry or NoTelemetry(),
            **options,
        )

    @asynccontextmanager
    async def working(self, **options: Any) -> AsyncIterator[Intake]:
        """A worker on this event loop, stopped at the end."""
        intake = self.intake(**options)
        await intake.start()
        try:
            yield intake
        finally:
            await intake.stop()

    async def produce(self, messages: Iterable[Sent], **settings: Any) -> None:
        await produce(self.bootstrap, messages, **settings)

    async def scored(self) -> dict[int, Scored]:
        """What the scored topic holds, by partition."""
        found = {}
        for number, messages in (await read_all(self.bootstrap, self.topics.scored)).items():
            scored = found[number] = Scored([], [])
            for message in messages:
                content = wire.decode(message.value)
                if isinstance(content, ScoredRecord):
                    assert message.key == content.scored.document.id.encode()
                    scored.documents.append((message.offset, content))
                else:
                    scored.marks.extend((message.offset, mark) for mark in content)
        return found

    async def scored_ids(self) -> list[str]:
        """The ids of the scored documents, partition by partition, as often as they are there."""
        return [record.scored.document.id for part in (await self.scored()).values() for _, record in part.documents]

    async def dead_letters(self) -> list[Incoming]:
        return [
            letter for part in (await read_all(self.bootstrap, self.topics.dead_letters)).values() for letter in part
        ]

    async def committed(self) -> dict[TopicPartition, int]:
        """The group's offsets."""
        offsets = Offsets(KafkaConnection(bootstrap_servers=self.bootstrap), self.group)
        try:
            return await offsets.committed(self.sources)
        finally:
            await offsets.close()

    async def has_scored(self, count: int) -> bool:
        """Whether so many different documents are in the scored topic."""
        return len(set(await self.scored_ids())) >= count


def check_marks(world: Sequence[Scored]) -> None:
    """A mark lies behind every document that it covers, in every partition of the scored topic."""
    for part in world:
        seen: set[Any] = set()
        reached: dict[Any, int] = {}
        for _, entry in sorted([*part.documents, *part.marks], key=lambda entry: entry[0]):
            if isinstance(entry, Mark):
                reached[entry.partition] = max(reached.get(entry.partition, 0), entry.next_offset)
            else:
                place = (entry.origin.partition, entry.origin.offset)
                assert place in seen or entry.origin.offset >= reached.get(entry.origin.partition, 0), (
                    f"{place} appears first behind a mark that covers it"
                )
                seen.add(place)

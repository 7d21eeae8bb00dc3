"""The intake on a real Kafka: where reading begins, and what the group remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import pytest
from kafka import KafkaProducer
from support.kafka_world import RawName, Sent, eventually, make_topics, produce

from domain.errors import TemporaryError
from domain.ports import NoTelemetry
from stream.faust_app import MembershipPolicy
from stream.incoming import Batch, TopicPartition
from stream.intake import Intake, IntakePolicy, Phase, Step
from stream.kafka import KafkaConnection
from stream.offsets import Offsets
from stream.run_consumer import RunConsumer

pytestmark = pytest.mark.servers

MANY = 1000
POLICY = IntakePolicy(max_batch=10, max_wait=0.02, tick=0.1, commit_interval=0.1)


class Remembering:
    """A stage that remembers offsets, and where it was told to begin."""

    name = "test"

    def __init__(self, begin: Mapping[TopicPartition, int] | None = None) -> None:
        self.seen: dict[int, list[int]] = {}
        self.names: list[str] = []
        """Of the headers."""
        self._begin = begin or {}

    @property
    def steps(self) -> tuple[Step, ...]:
        return (self.remember,)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._begin

    async def revoked(self) -> None: ...

    async def remember(self, batch: Batch) -> None:
        for message in batch.messages:
            self.seen.setdefault(message.partition, []).append(message.offset)
            self.names += [name for name, _ in message.headers]


def intake_of(
    bootstrap: str,
    topic: str,
    group: str,
    stage: Remembering,
    policy: IntakePolicy = POLICY,
    membership: MembershipPolicy | None = None,
) -> Intake:
    return Intake(
        connection=KafkaConnection(bootstrap_servers=bootstrap),
        group=group,
        topics=(topic,),
        stage=stage,
        telemetry=NoTelemetry(),
        policy=policy,
        membership=membership,
    )


async def until_seen(count: int, stage: Remembering) -> None:
    async def enough() -> bool:
        return sum(map(len, stage.seen.values())) >= count

    await eventually(enough)


async def read(bootstrap: str, topic: str, group: str, stage: Remembering, count: int) -> None:
    """Read until the stage has seen so many messages."""
    intake = intake_of(bootstrap, topic, group, stage)
    await intake.start()
    try:
        await until_seen(count, stage)
    finally:
        await intake.stop()


async def test_a_header_whose_name_is_not_utf8_stops_nothing(
    kafka_bootstrap: str, unique_topic: Callable[[str], str]
) -> None:
    topic = unique_topic("intake")
    make_topics(kafka_bootstrap, {topic: 1})
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, linger_ms=100)
    for name in ("plain", RawName(b"caf\xe9"), "after"):
        producer.send(topic, value=b"value", headers=[(name, b"v")])
    producer.close()
    stage = Remembering()
    await read(kafka_bootstrap, topic, unique_topic("group"), stage, 3)
    assert stage.names == ["plain", "caf\\xe9", "after"]


async def test_reading_goes_on_where_it_was_committed_unless_the_stage_says_otherwise(
    kafka_bootstrap: str, unique_topic: Callable[[str], str]
) -> None:
    topic, group = unique_topic("intake"), unique_topic("group")
    make_topics(kafka_bootstrap, {topic: 2})
    connection = KafkaConnection(bootstrap_servers=kafka_bootstrap)

    async def send(count: int) -> None:
        await produce(kafka_bootstrap, [Sent(topic=topic, value=b"%d" % n, partition=n % 2) for n in range(count)])

    await send(100)
    first = Remembering()
    await read(kafka_bootstrap, topic, group, first, 100)
    assert first.seen == {0: list(range(50)), 1: list(range(50))}
    offsets = Offsets(connection, group)
    places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    assert await offsets.committed(places) == dict.fromkeys(places, 50)

    await send(20)
    second = Remembering()
    await read(kafka_bootstrap, topic, group, second, 20)
    assert second.seen == {0: list(range(50, 60)), 1: list(range(50, 60))}

    third = Remembering({places[0]: 40, places[1]: 0})
    await read(kafka_bootstrap, topic, group, third, 80)
    assert third.seen == {0: list(range(40, 60)), 1: list(range(60))}
    assert await offsets.committed(places) == dict.fromkeys(places, 60)
    assert await offsets.beginnings(places) == dict.fromkeys(places, 0)
    assert await offsets.ends(places) == dict.fromkeys(places, 60)
    await offsets.close()


class HeldBack(Remembering):
    """Completes nothing until it is let go, and then takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def remember(self, batch: Batch) -> None:
        if batch.messages:
            if not self.go.is_set():
                raise TemporaryError("not yet")
            await asyncio.sleep(0.01)
        await super().remember(batch)


async def test_one_who_had_nothing_to_read_skips_nothing_when_the_whole_topic_comes_to_it(
    kafka_bootstrap: str, unique_topic: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flow of such a member never stopped, and what it had fetched while it went to where reading begins was
    thrown away."""
    topic, group = unique_topic("intake"), unique_topic("group")
    make_topics(kafka_bootstrap, {topic: 1})
    await produce(kafka_bootstrap, [Sent(topic=topic, value=b"%d" % n) for n in range(MANY)])

    policy = replace(POLICY, max_batch=5, max_queued=5, release_grace=0.1)
    perform_seek = RunConsumer.perform_seek

    async def takes_its_time(self: RunConsumer) -> None:
        await perform_seek(self)
        await asyncio.sleep(1)

    monkeypatch.setattr(RunConsumer, "perform_seek", takes_its_time)
    stages = HeldBack(), HeldBack()
    members = [
        intake_of(kafka_bootstrap, topic, group, stage, policy, MembershipPolicy(max_fetch_messages=5))
        for stage in stages
    ]

    async def settled() -> bool:
        """Both are members, and one of them has the partition."""
        healths = [member.health for member in members]
        reading = all(health.phase is Phase.READING for health in healths)
        return reading and sum(health.partitions for health in healths) == 1

    async with AsyncExitStack() as to_stop:
        for member in members:
            to_stop.push_async_callback(member.stop)
            await member.start()
        await eventually(settled)
        holder = members[0] if members[0].health.partitions else members[1]
        stage = stages[holder is members[0]]
        stage.go.set()
        await holder.stop()
        with suppress(AssertionError):
            await until_seen(MANY, stage)
    assert stage.seen == {0: list(range(MANY))}


async def test_what_faust_empties_from_its_channel_is_read_again(
    kafka_bootstrap: str, unique_topic: Callable[[str], str]
) -> None:
    topic, group = unique_topic("intake"), unique_topic("group")
    make_topics(kafka_bootstrap, {topic: 1})
    await produce(kafka_bootstrap, [Sent(topic=topic, value=b"%d" % n) for n in range(MANY)])
    stage, policy = HeldBack(), replace(POLICY, max_batch=5, max_queued=5)
    intake = intake_of(kafka_bootstrap, topic, group, stage, policy, MembershipPolicy(max_fetch_messages=5))

    async def full() -> bool:
        return intake._app is not None and any(queue.full() for queue in intake._app.flow_control._queues)

    async with AsyncExitStack() as to_stop:
        to_stop.push_async_callback(intake.stop)
        await intake.start()
        await eventually(full)
        assert intake._app is not None
        intake._app.flow_control.clear()
        stage.go.set()
        await until_seen(MANY, stage)
    assert stage.seen == {0: list(range(MANY))}

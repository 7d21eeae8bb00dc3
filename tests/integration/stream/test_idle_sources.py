"""A source partition that lies idle holds nothing back; one that only seems to, does."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from itertools import chain

import pytest
from support.classifiers import HashClassifier
from support.kafka_world import QUICK, ClassifyWorld, Sent, document, eventually

from domain.classification import Classification
from domain.errors import TemporaryError
from domain.log import Mark, MarkStatus, ScoredRecord
from domain.ports import Prepared
from stream.incoming import TopicPartition
from stream.kafka import KafkaConnection
from stream.offsets import Offsets

pytestmark = pytest.mark.servers

IDLE, UNREAD = MarkStatus.IDLE, MarkStatus.UNREAD


class SlowClassifier(HashClassifier):
    def infer(self, prepared: Prepared) -> list[Classification]:
        time.sleep(0.3)
        return super().infer(prepared)


class GatedClassifier(HashClassifier):
    """Waits for a word before each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.waits, self.go_on = threading.Event(), threading.Event()

    def infer(self, prepared: Prepared) -> list[Classification]:
        self.waits.set()
        assert self.go_on.wait(30)
        return super().infer(prepared)


def of(topic: str, count: int) -> list[Sent]:
    return [Sent(topic=topic, value=document(f"{topic}-{number}"), partition=0) for number in range(count)]


async def entries(world: ClassifyWorld) -> list[list[ScoredRecord | Mark]]:
    """What each partition of the scored topic holds, in order."""
    return [
        [entry for _, entry in sorted(chain(part.documents, part.marks), key=lambda found: found[0])]
        for part in (await world.scored()).values()
    ]


async def marks(world: ClassifyWorld, status: MarkStatus) -> list[Mark]:
    return [mark for part in (await world.scored()).values() for _, mark in part.marks if mark.status is status]


async def test_what_was_fetched_and_waits_for_the_model_is_not_idle(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap, partitions=1)
    await world.produce([*of(world.topics.news, 500), *of(world.topics.comments, 500)])
    async with world.working(classifier=SlowClassifier()):
        await eventually(lambda: world.has_scored(1000), within=60)
        await eventually(lambda: marks(world, IDLE))
    assert {mark.next_offset for mark in await marks(world, IDLE)} == {500}


async def test_an_idle_source_holds_event_time_back_from_when_something_comes(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap, partitions=1)
    gated = GatedClassifier()
    policy = replace(QUICK, idle_after=30.0)
    async with world.working(classifier=gated, policy=policy):
        await eventually(lambda: marks(world, IDLE))
        await world.produce(of(world.topics.news, 10))
        assert await asyncio.to_thread(gated.waits.wait, 30)
        await world.produce(of(world.topics.comments, 10))
        gated.go_on.set()
        await eventually(lambda: world.has_scored(20))
    for part in await entries(world):
        first = next(number for number, entry in enumerate(part) if isinstance(entry, ScoredRecord))
        held = [entry for entry in part[:first] if isinstance(entry, Mark) and entry.status is UNREAD]
        assert [(mark.partition.topic, mark.next_offset) for mark in held] == [(world.topics.comments, 0)]


async def test_that_a_source_is_idle_is_said_again(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap, partitions=1)
    async with world.working():

        async def said_three_times() -> bool:
            return len(await marks(world, IDLE)) >= 3 * 2 * 2

        await eventually(said_three_times)


async def test_a_question_about_a_topic_that_is_not_there_says_so(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap, partitions=1)
    offsets = Offsets(KafkaConnection(bootstrap_servers=kafka_bootstrap), world.group, timeout=2.0)
    with pytest.raises(TemporaryError, match=r"has no topic taken-away: make it with `groundswell topics create`"):
        await offsets.ends([TopicPartition("taken-away", 0), TopicPartition(world.topics.news, 0)])

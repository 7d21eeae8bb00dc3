"""The classify stage when things go wrong around it: nothing is lost, and marks stay behind what they cover."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.classify_worker import SlowClassifier
from support.kafka_world import QUICK, ClassifyWorld, Sent, check_marks, document, eventually
from support.servers import embedded

from domain.log import Mark
from stream.incoming import TopicPartition
from stream.intake import Phase

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[3]


@contextmanager
def worker(world: ClassifyWorld, *, seconds_per_batch: float = 0.05) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own, killed at the end if it still lives."""
    topics = {name: getattr(world.topics, name) for name in ("news", "comments", "scored", "dead_letters")}
    order = {
        "bootstrap": world.bootstrap,
        "topics": topics,
        "group": world.group,
        "partitions": world.partitions,
        "seconds_per_batch": seconds_per_batch,
    }
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/support/classify_worker.py"), json.dumps(order)],
        env={**os.environ, "PYTHONPATH": paths},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def messages(world: ClassifyWorld, count: int, start: int = 0) -> list[Sent]:
    topics = (world.topics.news, world.topics.comments)
    return [
        Sent(topic=topics[n % 2], value=document(f"doc-{n}"), partition=n // 2 % world.partitions)
        for n in range(start, start + count)
    ]


async def check_commits_are_covered(world: ClassifyWorld) -> None:
    """What is committed lies before a mark, in every partition of the scored topic."""
    committed = await world.committed()
    for part in (await world.scored()).values():
        covered: dict[TopicPartition, int] = {}
        for _, mark in part.marks:
            assert isinstance(mark, Mark)
            place = TopicPartition(mark.partition.topic, mark.partition.number)
            covered[place] = max(covered.get(place, 0), mark.next_offset)
        for place, offset in committed.items():
            assert covered[place] >= offset


async def test_workers_killed_again_and_again_lose_nothing(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap, partitions=2, scored_partitions=3)
    total = 4000
    choice = random.Random(7)
    await world.produce(messages(world, total))
    for _ in range(3):
        with worker(world) as process:
            before = len(set(await world.scored_ids()))
            await eventually(lambda before=before: world.has_scored(before + 200), within=40)  # type: ignore[misc]
            await asyncio.sleep(choice.random())
            process.send_signal(signal.SIGKILL)
            process.wait()
        await check_commits_are_covered(world)
        assert len(set(await world.scored_ids())) < total, "the worker was killed too late for this test"
    with worker(world, seconds_per_batch=0) as process:
        await eventually(lambda: world.has_scored(total), within=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert set(await world.scored_ids()) == {f"doc-{n}" for n in range(total)}
    check_marks(list((await world.scored()).values()))
    await check_commits_are_covered(world)
    assert sum((await world.committed()).values()) == total


async def test_a_worker_that_is_told_to_stop_finishes_what_is_in_flight(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap)
    await world.produce(messages(world, 2000))
    with worker(world) as process:
        await eventually(lambda: world.has_scored(100), within=40)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    ids = await world.scored_ids()
    assert len(ids) == len(set(ids)) == sum((await world.committed()).values()) < 2000


async def test_two_workers_share_the_partitions_and_hand_them_over(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap, partitions=2, scored_partitions=2)
    total = 3000

    async def trickle() -> None:
        for start in range(0, total, 100):
            await world.produce(messages(world, 100, start))
            await asyncio.sleep(0.2)

    sending = asyncio.create_task(trickle())
    async with world.working(classifier=SlowClassifier(0.02)) as first:
        await eventually(lambda: world.has_scored(200))
        async with world.working(classifier=SlowClassifier(0.02)) as second:

            async def shared() -> bool:
                return {first.health.partitions, second.health.partitions} == {2} and all(
                    intake.health.phase is Phase.READING for intake in (first, second)
                )

            await eventually(shared)
            await eventually(lambda: world.has_scored(1200))

        async def alone() -> bool:
            return first.health.partitions == 4 and first.health.phase is Phase.READING

        await eventually(alone)
        await sending
        await eventually(lambda: world.has_scored(total))
    ids = await world.scored_ids()
    assert set(ids) == {f"doc-{n}" for n in range(total)}
    assert len(ids) == total, "a hand-over finishes what is in flight, so nothing is done twice"
    check_marks(list((await world.scored()).values()))


async def test_a_frozen_worker_that_wakes_after_its_successor_took_over_does_no_harm(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap)
    total = 3000
    await world.produce(messages(world, total))
    with worker(world) as frozen:
        await eventually(lambda: world.has_scored(200), within=40)
        frozen.send_signal(signal.SIGSTOP)
        with worker(world, seconds_per_batch=0) as successor:
            await eventually(lambda: world.has_scored(total), within=60)
            frozen.send_signal(signal.SIGCONT)
            await world.produce(messages(world, 500, total))
            await eventually(lambda: world.has_scored(total + 500), within=40)
            for process in (frozen, successor):
                process.send_signal(signal.SIGTERM)
            assert successor.wait(20) == 0
            assert frozen.wait(20) in (0, 1)
    assert set(await world.scored_ids()) == {f"doc-{n}" for n in range(total + 500)}
    check_marks(list((await world.scored()).values()))
    await check_commits_are_covered(world)


async def test_while_kafka_is_down_the_flow_waits_and_then_goes_on() -> None:
    with embedded("kafka") as servers:
        address = servers.addresses.kafka
        assert address is not None
        world = ClassifyWorld.make(address.bootstrap_servers)
        await world.produce(messages(world, 2000))
        async with world.working(classifier=SlowClassifier(0.05), policy=QUICK) as intake:
            await eventually(lambda: world.has_scored(200))
            kafka = servers.servers["kafka"]
            kafka.kill()
            await asyncio.sleep(3)
            kafka.start()
            await asyncio.to_thread(kafka.wait_ready, 60)
            await eventually(lambda: world.has_scored(2000), within=60)
            assert not intake.health.failed
        assert set(await world.scored_ids()) == {f"doc-{n}" for n in range(2000)}
        check_marks(list((await world.scored()).values()))
        await check_commits_are_covered(world)
        assert not await world.dead_letters()

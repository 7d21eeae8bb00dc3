"""The record stage on real Kafka, Postgres and Redis: each document counts once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest
from support.kafka_world import CountingTelemetry, eventually, read_all
from support.postgres_databases import rows
from support.record_world import RecordWorld, make_scored_documents
from support.redis_state import put_back, saved

from domain.classification import ScoredDocument
from stream.admin import KafkaAdmin
from stream.dead_letters import decode_dead_letter
from stream.incoming import TopicPartition
from stream.intake import Intake
from stream.producer import Producer, Record
from stream.topics import describe_topics

pytestmark = pytest.mark.servers


@pytest.fixture
def world(kafka_bootstrap: str, fresh_database: str, fresh_redis: str) -> RecordWorld:
    return RecordWorld.make(kafka_bootstrap, fresh_database, fresh_redis)


async def test_documents_are_recorded_counted_and_then_acknowledged(world: RecordWorld) -> None:
    documents = make_scored_documents(1000)
    await world.score(documents)
    telemetry = CountingTelemetry()
    intake = world.intake(telemetry=telemetry)
    await intake.start()
    try:
        await asyncio.to_thread(world.wait_until_exact, documents)
        await eventually(lambda: _nothing_lags(world))
    finally:
        await intake.stop()

    assert telemetry.counts["documents_total", "record", "new"] == 1000


async def test_redelivered_and_repeated_documents_count_once(world: RecordWorld) -> None:
    documents = make_scored_documents(600)
    await world.score(documents)
    await world.score(documents[200:400])
    for _ in range(2):
        intake = world.intake()
        await intake.start()
        try:
            await asyncio.to_thread(world.wait_until_exact, documents)
        finally:
            await intake.stop()
        rows(world.dsn, "UPDATE progress SET next_offset = next_offset / 2")


async def test_messages_that_nobody_of_ours_wrote_become_dead_letters(world: RecordWorld) -> None:
    documents = make_scored_documents(100)
    producer = Producer(world.connection, name="test")
    await producer.send({TopicPartition(world.scored, 0): [Record(b"k", b"\xff{"), Record(b"k", None)]})
    await producer.stop()
    await world.score(documents)
    intake = world.intake()
    await intake.start()
    try:
        await asyncio.to_thread(world.wait_until_exact, documents)
        letters = [decode_dead_letter(m) for m in (await read_all(world.bootstrap, world.dead_letters))[0]]
    finally:
        await intake.stop()

    assert [(letter.topic, letter.offset, letter.stage, letter.value) for letter in letters] == [
        (world.scored, 0, "record", b"\xff{"),
        (world.scored, 1, "record", None),
    ]


async def test_a_database_that_refuses_everybody_stops_the_flow_and_nothing_is_lost(world: RecordWorld) -> None:
    documents = make_scored_documents(3000)
    intake = world.intake()
    await intake.start()
    try:
        await world.score(documents[:1000])
        with _database_down(world.dsn):
            await world.score(documents[1000:])
            await eventually(lambda: _blocked(intake))
        await asyncio.to_thread(world.wait_until_exact, documents)
        assert intake.health.blocked_by is None
        assert (await read_all(world.bootstrap, world.dead_letters))[0] == []
    finally:
        await intake.stop()


def test_processes_killed_at_random_moments_leave_exact_sums(world: RecordWorld) -> None:
    documents = make_scored_documents(8000)
    choice = random.Random(3)
    with _written_meanwhile(world, documents):
        for _ in range(4):
            before = world.recorded()
            with world.process() as process:
                world.wait(lambda at_least=before + 200: world.recorded() >= min(at_least, len(documents)))
                time.sleep(choice.uniform(0, 0.4))
                process.send_signal(signal.SIGKILL)
    with world.process():
        world.wait_until_exact(documents)


def test_redis_flushed_and_put_back_to_an_older_state_agrees_in_the_end(world: RecordWorld) -> None:
    documents = make_scored_documents(8000)
    server = world.server()
    with world.process() as process, _written_meanwhile(world, documents):
        world.wait(lambda: world.recorded() >= 1000)
        with _frozen(process):
            copy = saved(server)
        world.wait(lambda: world.recorded() >= 3000)
        server.flushdb()
        world.wait(lambda: world.recorded() >= 5000)
        put_back(server, copy)
        world.wait_until_exact(documents)
        # And without any traffic.
        server.flushdb()
        world.wait_until_exact(documents, within=20)
        put_back(server, copy)
        world.wait_until_exact(documents, within=20)


def test_a_process_that_was_frozen_while_its_successor_went_on_changes_nothing_when_it_wakes(
    world: RecordWorld,
) -> None:
    documents = make_scored_documents(6000)
    with world.process() as zombie, _written_meanwhile(world, documents):
        world.wait(lambda: world.recorded() >= 500)
        with _frozen(zombie), world.process():
            world.wait_until_exact(documents)
        time.sleep(2)
        assert world.problems(documents) is None


def test_a_history_restored_to_an_older_state_is_filled_up_again(world: RecordWorld) -> None:
    documents = make_scored_documents(2000)
    asyncio.run(world.score(documents))
    with world.process():
        world.wait_until_exact(documents)
    tables = ("mention", "score", "document_text", "document", "ledger", "rollup_minute", "progress", "mark")
    rows(world.dsn, ";".join(f"DELETE FROM {table}" for table in tables))

    with world.process():
        world.wait_until_exact(documents)


def test_a_scored_topic_made_anew_is_recorded_from_its_beginning(world: RecordWorld) -> None:
    documents = make_scored_documents(1000)
    asyncio.run(world.score(documents[:500]))
    with world.process():
        world.wait_until_exact(documents[:500])
    with KafkaAdmin(world.connection) as admin:
        admin.run(lambda client: client.delete_topics([world.scored]))
        world.wait(lambda: not describe_topics(admin, [world.scored])[0].exists)
        admin.run(
            lambda client: client.create_topics(
                {world.scored: {"num_partitions": world.partitions}}, wait_for_metadata=True
            )
        )
    asyncio.run(world.score(documents[500:], start=500))

    with world.process():
        world.wait_until_exact(documents)


async def _nothing_lags(world: RecordWorld) -> bool:
    def lags() -> list[int]:
        with KafkaAdmin(world.connection) as admin:
            [topic] = describe_topics(admin, [world.scored], [world.group])
        return [lag.lag for lag in topic.lags]

    return await asyncio.to_thread(lags) == [0] * world.partitions


async def _blocked(intake: Intake) -> bool:
    return intake.health.blocked_by is not None


@contextmanager
def _written_meanwhile(world: RecordWorld, documents: list[ScoredDocument]) -> Iterator[None]:
    """The documents are scored in a thread while the block runs, and all of them are when it ends."""
    writer = threading.Thread(target=lambda: asyncio.run(world.score(documents)))
    writer.start()
    try:
        yield
    finally:
        writer.join()


@contextmanager
def _frozen(process: subprocess.Popen[bytes]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def _database_down(dsn: str) -> Iterator[None]:
    """Sessions are ended and new ones refused."""
    name = urlsplit(dsn).path.removeprefix("/")
    admin = urlunsplit(urlsplit(dsn)._replace(path="/postgres"))
    rows(admin, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    rows(admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name)
    try:
        yield
    finally:
        rows(admin, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

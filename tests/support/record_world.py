"""The record stage on real servers: a scored topic with documents in it, processes that record it, and the proof that
history and windows hold each document once.

Run as a module it is one record process: `python -m support.record_world '{"bootstrap": …}'`.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

import redis as redis_client
from support.builders import T0, make_document, make_mark, make_origin, make_scored, news_partition
from support.kafka_world import make_topics
from support.postgres_databases import recomputed, rolled_up, rows

from domain.classification import ScoredDocument
from domain.errors import WindowsNotWhole
from domain.log import ScoredRecord
from domain.ports import NoTelemetry, Telemetry
from domain.timeline import minute_of
from store.postgres import migrate
from store.postgres.connection import Postgres
from store.postgres.history import PostgresHistory
from store.postgres.reader import PostgresReader
from store.redis.connection import Redis
from store.redis.reader import RedisWindowReader
from store.redis.windows import RedisWindows
from stream import runner, wire
from stream.admin import KafkaAdmin
from stream.incoming import TopicPartition
from stream.intake import Intake, IntakePolicy
from stream.kafka import KafkaConnection
from stream.producer import Producer, Record, partition_for
from stream.record import RecordPolicy, build_record
from stream.topics import KafkaTopicIds

ROOT = Path(__file__).resolve().parents[2]
LATENESS = timedelta(minutes=5)
RETENTION = timedelta(days=3)
SOURCES = 2
"""Partitions of the source topic that the documents say they come from."""


@dataclass(frozen=True, kw_only=True)
class RecordWorld:
    """Topics, a migrated database and keys in Redis that no other test uses."""

    bootstrap: str
    dsn: str
    redis_url: str
    scored: str
    dead_letters: str
    prefix: str
    group: str
    partitions: int = 2

    @classmethod
    def make(cls, bootstrap: str, dsn: str, redis_url: str, *, partitions: int = 2) -> RecordWorld:
        tag = uuid.uuid4().hex[:10]
        world = cls(
            bootstrap=bootstrap,
            dsn=dsn,
            redis_url=redis_url,
            scored=f"scored-{tag}",
            dead_letters=f"dead-{tag}",
            prefix=f"test-{tag}",
            group=f"record-{tag}",
            partitions=partitions,
        )
        make_topics(bootstrap, {world.scored: partitions, world.dead_letters: 1})
        migrate.upgrade(dsn)
        return world

    @property
    def connection(self) -> KafkaConnection:
        return KafkaConnection(bootstrap_servers=self.bootstrap)

    def intake(self, *, telemetry: Telemetry | None = None, reconcile_every: float = 0.5) -> Intake:
        """A record stage, not started."""
        history = PostgresHistory(Postgres(self.dsn, application_name="test-record"), lateness=LATENESS)
        windows = RedisWindows(
            Redis(self.redis_url), prefix=self.prefix, source=history, retention=RETENTION, lateness=LATENESS
        )
        intake = IntakePolicy(max_batch=200, max_wait=0.02, tick=0.2, commit_interval=0.1, retry_most=0.5)
        return build_record(
            connection=self.connection,
            scored_topic=self.scored,
            dead_letters_topic=self.dead_letters,
            group=self.group,
            history=history,
            windows=windows,
            topic_ids=KafkaTopicIds(KafkaAdmin(self.connection)),
            policy=RecordPolicy(reconcile_every=reconcile_every, intake=intake),
            telemetry=telemetry or NoTelemetry(),
        )

    @contextmanager
    def process(self) -> Iterator[subprocess.Popen[bytes]]:
        """A record process of its own group, so that it need not wait for Kafka to notice that another has died."""
        world = replace(self, group=f"{self.group}-{uuid.uuid4().hex[:6]}")
        process = subprocess.Popen(
            [sys.executable, "-m", "support.record_world", json.dumps(asdict(world))],
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    async def score(self, documents: Sequence[ScoredDocument], *, start: int = 0, batch: int = 100) -> None:
        """Write documents to the scored topic as the classify stage does, with marks behind each batch."""
        producer = Producer(self.connection, name="test")
        try:
            for begin in range(0, len(documents), batch):
                runs: dict[TopicPartition, list[Record]] = {}
                part = documents[begin : begin + batch]
                for number, scored in enumerate(part, start=start + begin):
                    key = scored.document.id.encode()
                    origin = make_origin(
                        news_partition(number % SOURCES), number // SOURCES, high_time=scored.document.published_at
                    )
                    place = TopicPartition(self.scored, partition_for(key, self.partitions))
                    record = Record(key, wire.encode_document(ScoredRecord(scored=scored, origin=origin)))
                    runs.setdefault(place, []).append(record)
                marks = wire.encode_marks(
                    [
                        make_mark(
                            news_partition(number),
                            next_offset=(start + begin + batch) // SOURCES,
                            high_time=part[-1].document.published_at,
                            fan_out=self.partitions,
                        )
                        for number in range(SOURCES)
                    ]
                )
                for number in range(self.partitions):
                    runs.setdefault(TopicPartition(self.scored, number), []).append(Record(None, marks))
                await producer.send(runs)
        finally:
            await producer.stop()

    def recorded(self) -> int:
        """How many documents the history holds."""
        [(count,)] = rows(self.dsn, "SELECT count(*) FROM ledger")
        return int(count)

    def problems(self, documents: Sequence[ScoredDocument]) -> str | None:
        """What history and windows do not say as they should, when these documents and no others were scored."""
        unique = {scored.document.id: scored for scored in documents}
        expected = recomputed((scored, False) for scored in unique.values())
        if self.recorded() != len(unique):
            return f"{self.recorded()} documents of {len(unique)}"
        if rolled_up(self.dsn) != expected:
            return "the roll-ups are not what the documents add up to"
        postgres = Postgres(self.dsn, application_name="test-reader")
        try:
            reader = RedisWindowReader(Redis(self.redis_url), prefix=self.prefix, fallback=PostgresReader(postgres))
            first = minute_of(min(scored.document.published_at for scored in unique.values()))
            last = minute_of(max(scored.document.published_at for scored in unique.values()))
            buckets = reader.buckets(first, last + 1).counts
        except WindowsNotWhole as error:
            return str(error)
        finally:
            postgres.close()
        held = {(subject, minute, False): counts for minute, by in buckets.items() for subject, counts in by.items()}
        return None if held == expected else "the windows are not what the documents add up to"

    def wait_until_exact(self, documents: Sequence[ScoredDocument], *, within: float = 60.0) -> None:
        """Until history and windows hold each of these documents once."""
        deadline = time.monotonic() + within
        while problem := self.problems(documents):
            assert time.monotonic() < deadline, problem
            time.sleep(0.2)

    def wait(self, holds: Callable[[], bool], *, within: float = 60.0) -> None:
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.05)

    def server(self) -> redis_client.Redis:
        """A client for doing things to Redis."""
        return redis_client.Redis.from_url(self.redis_url)


def make_scored_documents(count: int, *, seed: int = 0, start: int = 0) -> list[ScoredDocument]:
    """Documents over two hours, by rising date, on a few topics and symbols."""
    choice = random.Random(seed)
    made = []
    for number in range(start, start + count):
        document = make_document(
            f"doc-{number}",
            published_at=T0 + timedelta(seconds=7200 * number / max(start + count, 1)),
            source=choice.choice(["Example Wire", "Other Wire", None]),
            symbols=choice.sample(["ACME", "EXMP", "XYZ", "QQQ"], choice.randrange(3)),
        )
        sentiment = choice.choice([{"negative": 0.9}, {"neutral": 0.7}, {"positive": 0.8}])
        made.append(make_scored(document, topic=choice.choice(["Earnings", "Macro", "Energy | Oil"]), **sentiment))
    return made


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    os._exit(runner.run(RecordWorld(**json.loads(sys.argv[1])).intake()))

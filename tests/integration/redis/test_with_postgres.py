"""Windows in Redis against the history in Postgres: the same documents give the same numbers, whatever happens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis as redis_client
from support.builders import at, make_batch, make_mark, make_record, make_scored, news_partition, scored_partition
from support.histories import append, changes_of
from support.redis_state import put_back, saved
from support.servers import new_database

from domain.errors import WindowsNotWhole
from domain.log import Partition, RecordBatch
from domain.subject import Subject, SubjectKind
from domain.timeline import minute_of
from store.postgres import migrate
from store.postgres.connection import Postgres
from store.postgres.history import PostgresHistory
from store.postgres.rollups import PostgresRollUps
from store.redis.connection import Redis
from store.redis.reader import RedisWindowReader
from store.redis.windows import RedisWindows

pytestmark = pytest.mark.servers

PREFIX = "test:both"
LATENESS = timedelta(minutes=5)
PARTITIONS = (scored_partition(0), scored_partition(1))
TOPICS = ("Energy | Oil", "Fed | Central Banks", "Earnings")
SYMBOLS = ("ACME", "GLOBEX", "INITECH")
SPAN = (minute_of(at(-60)), minute_of(at(900)))


@pytest.fixture
def postgres(postgres_dsn: str) -> Iterator[Postgres]:
    with new_database(postgres_dsn) as dsn:
        migrate.upgrade(dsn)
        yield Postgres(dsn, application_name="test")


@pytest.fixture
def history(postgres: Postgres) -> Iterator[PostgresHistory]:
    history = PostgresHistory(postgres, lateness=LATENESS)
    yield history
    history.close()


@pytest.fixture
def windows(fresh_redis: str, history: PostgresHistory) -> RedisWindows:
    return RedisWindows(
        Redis(fresh_redis), prefix=PREFIX, source=history, retention=timedelta(hours=2), lateness=LATENESS
    )


def batches(dice: random.Random, count: int) -> Iterator[RecordBatch]:
    """Batches of both partitions in turn, ten minutes of event time each, with documents sent again and late ones."""
    offsets = dict.fromkeys(PARTITIONS, 0)
    for turn in range(count):
        partition = PARTITIONS[turn % 2]
        high = at(10 * turn)
        records = [
            make_record(
                make_scored(
                    f"{partition.number}-{dice.randrange(30 * count)}",
                    negative=dice.choice([0.05, 0.5, 0.93]),
                    topic=dice.choice(TOPICS),
                    symbols=dice.sample(SYMBOLS, dice.randint(0, 3)),
                    published_at=high + timedelta(seconds=dice.randint(-900, 0)),
                    source=dice.choice(["Wire", "Post", "Blog", None]),
                ),
                high_time=high,
            )
            for _ in range(60)
        ]
        mark = make_mark(news_partition(), next_offset=turn + 1, high_time=high, fan_out=2)
        batch = make_batch(records, [mark], partition=partition, start=offsets[partition])
        offsets[partition] = batch.end
        yield batch


def count(history: PostgresHistory, windows: RedisWindows, partition: Partition) -> None:
    for _ in range(5):
        try:
            start = windows.guard(partition) or 0
            if start > (history.next_offset(partition) or 0):
                windows.rebuild()
                continue
            if windows.apply(changes_of(history, partition, start)) is None:
                return
        except WindowsNotWhole:
            windows.rebuild()
    raise AssertionError("counting never came to an end")


def test_the_windows_agree_with_the_roll_ups_whatever_redis_goes_through(
    postgres: Postgres, history: PostgresHistory, windows: RedisWindows, fresh_redis: str
) -> None:
    dice = random.Random(11)
    roll_ups = PostgresRollUps(postgres)
    reader = RedisWindowReader(Redis(fresh_redis), prefix=PREFIX, fallback=roll_ups)
    subjects = [
        *(Subject(SubjectKind.TOPIC, name) for name in TOPICS),
        *(Subject(SubjectKind.ENTITY, name) for name in SYMBOLS),
    ]
    copy: dict[bytes, bytes] = {}
    with redis_client.Redis.from_url(fresh_redis) as server:
        for turn, batch in enumerate(batches(dice, 60)):
            append(history, batch)
            if dice.random() < 0.8:
                count(history, windows, batch.partition)
            if dice.random() < 0.2:
                append(history, batch)
            if turn % 9 == 4:
                copy = saved(server)
            if turn % 9 == 8:
                put_back(server, copy)
            if turn % 23 == 22:
                server.flushdb()
    for partition in PARTITIONS:
        count(history, windows, partition)

    held = reader.buckets(*SPAN).counts
    assert len(held) > 200
    assert held == roll_ups.buckets(*SPAN)
    assert list(reader.observed(*SPAN)) == list(roll_ups.observed(*SPAN))
    newest = max(held)
    for subject in subjects:
        assert reader.series(subject, *SPAN, 15) == roll_ups.series(subject, *SPAN, 15)
        for start in (newest - 20, newest - 100, newest - 300):
            span = start, start + 15
            assert reader.negative_publishers(subject, *span) == roll_ups.negative_publishers(subject, *span)

    counted = saved_buckets(fresh_redis)
    windows.rebuild()
    rebuilt = saved_buckets(fresh_redis)
    assert {name: held for name, held in counted.items() if name in rebuilt} == rebuilt
    assert rebuilt, "a rebuild makes the very buckets, marks, guards and publishers that counting made"


def saved_buckets(url: str) -> dict[str, object]:
    """What the namespace in use holds, by the key's name within it; publishers by their number."""
    with redis_client.Redis.from_url(url) as server:
        namespace = (server.get(f"{PREFIX}:current") or b"").decode()
        found: dict[str, object] = {}
        for key in server.scan_iter(f"{PREFIX}:{namespace}:*", count=1_000):
            name = key.decode().removeprefix(f"{PREFIX}:{namespace}:")
            if name.startswith("p:"):
                found[name] = server.pfcount(key)
            elif name.startswith("m:") or name in ("guards", "marks"):
                found[name] = server.hgetall(key)
        return found

"""Feeding files to a real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.kafka_world import make_topics, read_all

from domain.document import Kind
from domain.errors import InvalidInput, PermanentError, TemporaryError
from domain.timeline import to_rfc3339
from stream import marks
from stream.feed import BadRow, FeedPolicy, FeedProgress, FeedSource, FeedSummary, run_feed
from stream.incoming import Incoming
from stream.kafka import KafkaConnection
from stream.producer import partition_for

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[3]
T0 = datetime(2014, 1, 6, 14, 0, 30, tzinfo=UTC)


@dataclass
class World:
    bootstrap: str
    news: str
    comments: str
    folder: Path

    @property
    def connection(self) -> KafkaConnection:
        return KafkaConnection(bootstrap_servers=self.bootstrap)

    def policy(self, **options: Any) -> FeedPolicy:
        topics = {Kind.NEWS: self.news, Kind.COMMENT: self.comments}
        return FeedPolicy(**{"topics": topics, "speed": None, **options})

    def file(self, rows: Iterable[dict[str, Any]], name: str = "rows.jsonl") -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def feed(self, path: Path, **options: Any) -> FeedSummary:
        told = {name: options.pop(name) for name in ("on_progress", "on_bad_row") if name in options}
        return run_feed(self.connection, FeedSource(path=path), self.policy(**options), **told)

    def read(self, topic: str) -> dict[int, list[Incoming]]:
        return asyncio.run(read_all(self.bootstrap, topic))

    def documents(self, topic: str) -> list[Incoming]:
        """What was fed, partition by partition, end marks left out."""
        found = self.read(topic)
        return [m for number in sorted(found) for m in found[number] if not marks.is_end(m.headers)]

    def ends(self, topic: str) -> list[datetime]:
        """What the end marks say, and that each is the last of its partition."""
        found = self.read(topic)
        said = []
        for number in sorted(found):
            for place, message in enumerate(found[number]):
                if marks.is_end(message.headers):
                    assert place == len(found[number]) - 1
                    said.append(marks.decode_end(message.value, message.timestamp_ms, timedelta(minutes=5)))
        return said


@pytest.fixture
def world(kafka_bootstrap: str, tmp_path: Path) -> World:
    tag = uuid.uuid4().hex[:10]
    world = World(kafka_bootstrap, f"news-{tag}", f"comments-{tag}", tmp_path)
    make_topics(kafka_bootstrap, {world.news: 3, world.comments: 2})
    return world


def rows(count: int, *, seconds: float = 1.0, **fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": f"doc-{n}",
            "text": f"Oil falls {n}",
            "published_at": _text(T0 + timedelta(seconds=n * seconds)),
            **fields,
        }
        for n in range(count)
    ]


def test_documents_go_to_the_topic_of_their_kind_keyed_by_id_in_the_order_of_their_dates(world: World) -> None:
    made = [row | ({"kind": "comment"} if n % 4 == 0 else {}) for n, row in enumerate(rows(400))]

    summary = world.feed(world.file(reversed(made)))

    for topic, partitions, kind in ((world.news, 3, None), (world.comments, 2, "comment")):
        expected = [row for row in made if row.get("kind") == kind]
        found = world.documents(topic)
        assert {m.key for m in found} == {row["id"].encode() for row in expected}
        assert all(m.partition == partition_for(m.key or b"", partitions) for m in found)
        for number in range(partitions):
            dates = [json.loads(m.value or b"")["published_at"] for m in found if m.partition == number]
            assert dates == sorted(dates)
    assert (summary.documents, summary.bad, summary.interrupted) == (400, 0, False)
    assert summary.bytes == sum(
        len(m.key or b"") + len(m.value or b"")
        for topic in (world.news, world.comments)
        for m in world.documents(topic)
    )


def test_every_partition_written_to_ends_with_a_mark_at_the_next_whole_minute(world: World) -> None:
    summary = world.feed(world.file(rows(1)))

    assert summary.ended_at == datetime(2014, 1, 6, 14, 1, tzinfo=UTC)
    assert world.ends(world.news) == [summary.ended_at] * 3
    assert world.ends(world.comments) == []


def test_event_time_can_be_let_go_further_at_the_end(world: World) -> None:
    world.feed(world.file(rows(1)), settle=timedelta(hours=1))

    assert world.ends(world.news) == [datetime(2014, 1, 6, 15, 1, tzinfo=UTC)] * 3


def test_shifted_to_now_the_last_document_is_sent_on_its_date_and_the_end_is_not_refused(world: World) -> None:
    before = datetime.now(UTC)
    world.feed(world.file(rows(3, seconds=3600)), speed=7200.0, shift_to_now=True, settle=timedelta(hours=1))

    found = {m.key: m for m in world.documents(world.news)}
    dates = [datetime.fromisoformat(json.loads(found[b"doc-%d" % n].value or b"")["published_at"]) for n in range(3)]
    assert dates[2] - dates[1] == dates[1] - dates[0] == timedelta(hours=1)
    last = found[b"doc-2"]
    assert before + timedelta(seconds=1) <= dates[2]
    assert dates[2].timestamp() * 1000 <= last.timestamp_ms + 10
    assert len(world.ends(world.news)) == 3


def test_documents_are_sent_at_the_speed_that_was_asked_for(world: World) -> None:
    told: list[FeedProgress] = []
    summary = world.feed(world.file(rows(5, seconds=30)), speed=60.0, on_progress=told.append)

    assert 1.9 <= summary.seconds < 10
    stamps = sorted(m.timestamp_ms for m in world.documents(world.news))
    assert stamps[-1] - stamps[0] >= 1900
    assert told[-1] == FeedProgress(
        sent=5, total=5, bad=0, published_at=T0 + timedelta(seconds=120), looked_at=told[-1].looked_at
    )
    assert len(told) >= 5


def test_csv_with_other_column_names_is_fed(world: World) -> None:
    path = world.folder / "tweets.csv"
    path.write_text(
        'tweet,created,body,tickers\n1,2014-01-06 14:00:00,"Oil, up",XOM CVX\n2,2014-01-06 14:00:01,Down,\n'
    )
    columns = {"id": "tweet", "published_at": "created", "text": "body", "symbols": "tickers"}

    world.feed(path, columns=columns, kind=Kind.COMMENT)

    found = sorted(world.documents(world.comments), key=lambda m: m.key or b"")
    assert json.loads(found[0].value or b"") == {
        "id": "1",
        "text": "Oil, up",
        "symbols": ["XOM", "CVX"],
        "published_at": "2014-01-06T14:00:00+00:00",
    }


def test_undated_rows_are_sent_in_their_order_and_end_at_the_time_of_sending(world: World) -> None:
    summary = world.feed(world.file([{"text": f"Oil falls {n}"} for n in range(10)]), undated=True)

    assert all(b"published_at" not in (m.value or b"") for m in world.documents(world.news))
    assert summary.ended_at is not None
    assert abs(summary.ended_at - datetime.now(UTC)) < timedelta(minutes=2)


def test_nothing_is_sent_of_a_file_with_a_bad_row_unless_such_rows_are_skipped(world: World) -> None:
    path = world.file([*rows(3), {"id": "bad", "published_at": _text(T0)}])
    told: list[BadRow] = []

    with pytest.raises(InvalidInput, match="line 4: the message has no text"):
        world.feed(path)
    assert world.documents(world.news) == []

    summary = world.feed(path, skip_bad=True, on_bad_row=told.append)
    assert (summary.documents, summary.bad) == (3, 1)
    assert [(bad.line, bad.reason) for bad in told] == [(4, "no_text")]


def test_an_empty_file_sends_nothing_and_ends_nothing(world: World) -> None:
    summary = world.feed(world.file([]))

    assert (summary.documents, summary.ended_at) == (0, None)
    assert world.ends(world.news) == []


def test_a_missing_topic_and_an_unreachable_kafka_are_named_before_anything_is_read(world: World) -> None:
    path = world.file(rows(1))
    missing = world.policy(topics={Kind.NEWS: f"none-{uuid.uuid4().hex}"})
    with pytest.raises(PermanentError, match="topics create"):
        run_feed(world.connection, FeedSource(path=path), missing)

    nowhere = replace(world.connection, bootstrap_servers="127.0.0.1:1")
    with pytest.raises(TemporaryError, match="nothing listens"):
        run_feed(nowhere, FeedSource(path=path), world.policy())


def test_ctrl_c_ends_a_feed_after_what_was_sent_is_acknowledged_and_without_end_marks(world: World) -> None:
    path = world.file(rows(1000, seconds=1))
    script = f"""
from pathlib import Path
from domain.document import Kind
from stream.feed import FeedPolicy, FeedSource, run_feed
from stream.kafka import KafkaConnection
policy = FeedPolicy(topics={{Kind.NEWS: {world.news!r}}}, speed=50.0)
connection = KafkaConnection(bootstrap_servers={world.bootstrap!r})
summary = run_feed(connection, FeedSource(path=Path({str(path)!r})), policy)
print(summary.documents, summary.interrupted, summary.ended_at)
"""
    feed = _python(script, stdin=subprocess.DEVNULL)
    _wait_for_documents(world, 30)

    feed.send_signal(signal.SIGINT)
    output, _ = feed.communicate(timeout=30)

    sent, interrupted, ended_at = output.decode().split()
    assert (interrupted, ended_at, feed.returncode) == ("True", "None", 0)
    assert len(world.documents(world.news)) == int(sent) < 1000
    assert world.ends(world.news) == []


def test_standard_input_is_fed_as_it_comes(world: World) -> None:
    script = f"""
from domain.document import Kind
from stream.feed import FeedPolicy, FeedSource, run_feed
from stream.kafka import KafkaConnection
policy = FeedPolicy(topics={{Kind.NEWS: {world.news!r}}}, speed=None)
summary = run_feed(KafkaConnection(bootstrap_servers={world.bootstrap!r}), FeedSource(path=None), policy)
print(summary.documents)
"""
    feed = _python(script, stdin=subprocess.PIPE)
    assert feed.stdin is not None
    feed.stdin.write("".join(json.dumps(row) + "\n" for row in rows(10)).encode())
    feed.stdin.flush()
    _wait_for_documents(world, 10)
    feed.stdin.write((json.dumps(rows(11)[-1]) + "\n").encode())

    output, _ = feed.communicate(timeout=30)

    assert output.split() == [b"11"]
    assert len(world.documents(world.news)) == 11
    assert len(world.ends(world.news)) == 3


def test_many_documents_are_fed_quickly_enough(world: World) -> None:
    path = world.file(rows(20_000, seconds=0.1))

    summary = world.feed(path)

    assert summary.documents == len({m.key for m in world.documents(world.news)}) == 20_000
    assert summary.documents / summary.seconds > 1000


def _python(script: str, *, stdin: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=stdin,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _wait_for_documents(world: World, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(world.documents(world.news)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _text(at: datetime) -> str:
    return to_rfc3339(at)

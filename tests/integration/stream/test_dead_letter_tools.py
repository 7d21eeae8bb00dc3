"""Dead letters on a real Kafka: listed, shown, sent back."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.kafka_world import make_topics, read_all

from domain.errors import InvalidInput, PermanentError, TemporaryError
from stream.dead_letter_tools import DeadLetters, LetterFilter, ReplaySummary
from stream.dead_letters import DeadLetterWriter, dead_letter
from stream.incoming import Incoming
from stream.kafka import KafkaConnection

pytestmark = pytest.mark.servers

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@dataclass
class World:
    """A source topic, a dead-letter topic, and the tools."""

    bootstrap: str
    news: str
    dead: str

    @classmethod
    def make(cls, bootstrap: str, partitions: int = 2) -> World:
        tag = uuid.uuid4().hex[:10]
        world = cls(bootstrap, f"news-{tag}", f"dead-{tag}")
        make_topics(bootstrap, {world.news: partitions, world.dead: partitions})
        return world

    @property
    def tools(self) -> DeadLetters:
        return DeadLetters(KafkaConnection(bootstrap_servers=self.bootstrap), self.dead)

    def refuse(self, *messages: Incoming, reason: str = "not_json") -> None:
        """Dead-letter messages as a stage does."""

        async def write() -> None:
            writer = DeadLetterWriter(KafkaConnection(bootstrap_servers=self.bootstrap), self.dead)
            error = InvalidInput(reason, f"it is {reason}")
            await writer.send([dead_letter(m, stage="classify", error=error, now=NOW) for m in messages])
            await writer.stop()

        asyncio.run(write())

    def message(self, value: bytes | None = b"{", *, partition: int = 0, offset: int = 0, **fields: Any) -> Incoming:
        fields = {"key": b"k", "timestamp_ms": 1_400_000_000_000, **fields}
        return Incoming(topic=self.news, partition=partition, offset=offset, value=value, **fields)

    def sent_back(self) -> list[Incoming]:
        found = asyncio.run(read_all(self.bootstrap, self.news))
        return [message for number in sorted(found) for message in found[number]]

    def replay(
        self, which: LetterFilter | Sequence[tuple[int, int]] = LetterFilter(), **options: bool
    ) -> ReplaySummary:
        return self.tools.replay(which, **options)


@pytest.fixture
def world(kafka_bootstrap: str) -> World:
    return World.make(kafka_bootstrap)


def test_the_newest_letters_come_first_and_all_are_counted_by_reason(world: World) -> None:
    world.refuse(*(world.message(b"%d" % n, offset=n, partition=n % 2) for n in range(5)))
    world.refuse(world.message(b"late", offset=9), reason="date_ahead")

    listed = world.tools.recent(limit=2)

    assert listed.letters[0].letter.value == b"late"
    assert len(listed.letters) == 2
    assert (listed.reasons, listed.total) == ({"not_json": 5, "date_ahead": 1}, 6)


@pytest.mark.parametrize(
    ("which", "count"),
    [
        (LetterFilter(reason="date_ahead"), 1),
        (LetterFilter(reason="nothing"), 0),
        (LetterFilter(stage="classify"), 3),
        (LetterFilter(stage="record"), 0),
        (LetterFilter(topic="elsewhere"), 0),
        (LetterFilter(since=datetime.now(UTC) - timedelta(minutes=5)), 3),
        (LetterFilter(since=datetime.now(UTC) + timedelta(days=1)), 0),
    ],
)
def test_letters_are_chosen_by_what_they_are(world: World, which: LetterFilter, count: int) -> None:
    world.refuse(world.message(), world.message(offset=1, partition=1))
    world.refuse(world.message(offset=2), reason="date_ahead")

    assert world.tools.recent(which).total == count


def test_an_empty_topic_has_no_letters(world: World) -> None:
    assert world.tools.recent().letters == ()


def test_a_letter_is_shown_as_it_was_refused(world: World) -> None:
    headers = (("original", b"\xff"), ("nothing", None))
    world.refuse(world.message(b"\xff\x00", offset=7, key=None, headers=headers))

    stored = world.tools.at(0, 0)

    letter = stored.letter
    assert (letter.topic, letter.partition, letter.offset) == (world.news, 0, 7)
    assert (letter.stage, letter.reason, letter.message, letter.attempt) == (
        "classify",
        "not_json",
        "it is not_json",
        1,
    )
    assert (letter.key, letter.value, letter.headers) == (None, b"\xff\x00", headers)
    assert (letter.at, letter.timestamp_ms) == (NOW, 1_400_000_000_000)
    assert (stored.place, stored.replayed) == ("0:0", False)


@pytest.mark.parametrize("place", [(0, 5), (7, 0)])
def test_a_place_without_a_letter_is_refused(world: World, place: tuple[int, int]) -> None:
    world.refuse(world.message())

    with pytest.raises(InvalidInput, match="no dead letter"):
        world.tools.at(*place)
    with pytest.raises(InvalidInput, match="no dead letter"):
        world.replay([(0, 0), place])
    assert world.sent_back() == []


def test_letters_go_back_to_where_they_came_from_unchanged(world: World) -> None:
    world.refuse(
        world.message(b"{1", offset=3, headers=(("original", b"x"),)),
        world.message(None, offset=4, partition=1, key=b"other"),
    )

    assert world.replay() == ReplaySummary(replayed=2, skipped=0)

    first, second = world.sent_back()
    assert (first.partition, first.key, first.value) == (0, b"k", b"{1")
    assert (second.partition, second.key, second.value) == (1, b"other", None)
    assert dict(first.headers) == {
        "original": b"x",
        "groundswell.errors.attempt": b"1",
        "groundswell.replayed": b"0:0",
    }


def test_the_original_record_s_time_comes_along_so_that_what_has_no_date_keeps_it(world: World) -> None:
    world.refuse(world.message())
    world.replay()

    assert world.sent_back()[0].timestamp_ms == 1_400_000_000_000


def test_what_was_too_far_ahead_is_judged_by_the_time_at_which_it_is_sent_back(world: World) -> None:
    world.refuse(world.message(json.dumps({"text": "x"}).encode()), reason="date_ahead")
    world.replay()

    age = datetime.now(UTC).timestamp() - world.sent_back()[0].timestamp_ms / 1000
    assert abs(age) < 60


def test_what_was_sent_back_is_not_sent_again_nor_listed_unless_asked_for(world: World) -> None:
    world.refuse(world.message(), world.message(offset=1, partition=1))
    world.replay()

    assert world.replay() == ReplaySummary(replayed=0, skipped=2)
    assert world.replay([(0, 0)]) == ReplaySummary(replayed=0, skipped=1)
    listed = world.tools.recent()
    assert (listed.letters, listed.total, listed.replayed) == ((), 0, 2)
    assert world.tools.at(0, 0).replayed

    assert world.replay([(0, 0)], again=True) == ReplaySummary(replayed=1, skipped=0)
    assert len(world.sent_back()) == 3


def test_only_those_of_a_reason_or_at_a_place_go_back(world: World) -> None:
    world.refuse(world.message(b"a"), world.message(b"b", offset=1))
    world.refuse(world.message(b"c", offset=2), reason="no_text")

    world.replay(LetterFilter(reason="no_text"))
    world.replay([(0, 1)])

    assert [message.value for message in world.sent_back()] == [b"c", b"b"]
    assert [stored.letter.value for stored in world.tools.recent().letters] == [b"a"]


def test_a_letter_that_is_refused_again_is_a_new_one_with_its_attempts_counted(world: World) -> None:
    world.refuse(world.message())
    world.replay()
    world.refuse(*world.sent_back())

    [stored] = world.tools.recent().letters
    assert stored.letter.attempt == 2
    assert stored.letter.timestamp_ms == 1_400_000_000_000

    world.replay()
    back = world.sent_back()[-1]
    assert [value for name, value in back.headers if name == "groundswell.replayed"] == [stored.place.encode()]


def test_a_letter_whose_partition_is_gone_goes_to_another_one(world: World) -> None:
    world.refuse(world.message(partition=31))

    assert world.replay().replayed == 1
    assert len(world.sent_back()) == 1


def test_letters_of_unknown_origin_are_left_alone_and_counted(world: World) -> None:
    async def write() -> None:
        from support.kafka_world import Sent, produce

        await produce(world.bootstrap, [Sent(topic=world.dead, value=b"from elsewhere")])

    asyncio.run(write())

    assert world.tools.recent().reasons == {"unknown": 1}
    assert world.replay() == ReplaySummary(replayed=0, skipped=0, impossible=1)


def test_many_letters_go_back_in_their_order(world: World) -> None:
    told: list[int] = []
    world.refuse(*(world.message(b"%d" % n, offset=n) for n in range(1200)))

    summary = world.tools.replay(LetterFilter(), on_progress=told.append)

    assert summary.replayed == 1200
    assert told == [500, 1000, 1200]
    assert [int(message.value or b"") for message in world.sent_back()] == list(range(1200))


def test_a_missing_topic_is_named_with_what_to_do(kafka_bootstrap: str) -> None:
    tools = DeadLetters(KafkaConnection(bootstrap_servers=kafka_bootstrap), f"none-{uuid.uuid4().hex}")

    with pytest.raises(PermanentError, match="topics create"):
        tools.recent()


def test_an_unreachable_kafka_is_named_with_what_to_do() -> None:
    with pytest.raises(TemporaryError, match=r"nothing listens at 127\.0\.0\.1:1"):
        DeadLetters(KafkaConnection(bootstrap_servers="127.0.0.1:1"), "dead-letters").recent()

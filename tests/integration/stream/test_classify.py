"""The classify stage on a real Kafka: what comes in, what comes out, and what becomes of the rest."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from support.classifiers import POISON, HashClassifier
from support.kafka_world import QUICK, ClassifyWorld, CountingTelemetry, Sent, check_marks, document, eventually

from domain.classification import Classification, Label, Unscored
from domain.document import Kind
from domain.errors import PermanentError
from domain.log import Mark, MarkStatus
from domain.ports import Prepared
from domain.subject import sentiments_of
from stream.dead_letters import PREFIX, decode_dead_letter
from stream.incoming import TopicPartition
from stream.marks import encode_end, end_headers

pytestmark = pytest.mark.servers

BAD = {
    "tombstone": None,
    "not_utf8": b'{"text":"\xff"}',
    "not_json": b"Oil falls.",
    "too_deep": b'{"text":"x","a":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "lone_surrogate": b'{"text":"\\ud800"}',
    "nul_character": b'{"text":"a\\u0000b"}',
    "wrong_type": b'{"text":5}',
    "no_text": b'{"title":"x"}',
    "field_too_long": json.dumps({"text": "x" * 70_000}).encode(),
    "too_many_symbols": json.dumps({"text": "x", "symbols": [f"S{n}" for n in range(51)]}).encode(),
    "bad_date": b'{"text":"x","published_at":"yesterday"}',
    "date_ahead": b'{"text":"x","published_at":"2999-01-01T00:00:00Z"}',
    "cloudevent_invalid": b'{"specversion":"1.0","data":{"text":"x"}}',
    "model_failed": document("poisonous", text=f"A text that the model chokes on {POISON}"),
}


async def test_good_ones_are_scored_once_in_order_and_bad_ones_dead_lettered_unchanged(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap, partitions=2, scored_partitions=3)
    choice = random.Random(7)
    kinds = list(BAD)
    sent: list[Sent] = []
    for number in range(1500):
        topic = choice.choice([world.topics.news, world.topics.comments])
        if choice.random() < 0.2:
            kind = kinds[number % len(kinds)]
            headers = (("original", kind.encode()), ("nothing", None), ("original", b"again"))
            sent.append(Sent(topic=topic, key=b"%d" % number, value=BAD[kind], headers=headers, partition=number % 2))
        else:
            sent.append(Sent(topic=topic, key=None, value=document(f"doc-{number}"), partition=number % 2))
    good = [json.loads(m.value or b"")["id"] for m in sent if not m.headers]
    bad = [m for m in sent if m.headers]
    telemetry = CountingTelemetry()

    async with world.working(telemetry=telemetry):
        await world.produce(sent)

        async def all_there() -> bool:
            return len(await world.dead_letters()) >= len(bad) and await world.has_scored(len(good))

        await eventually(all_there)

    scored = await world.scored()
    assert sorted(await world.scored_ids()) == sorted(good)
    for part in scored.values():
        by_source: dict[object, list[int]] = {}
        for _, record in part.documents:
            by_source.setdefault(record.origin.partition, []).append(record.origin.offset)
        assert all(offsets == sorted(offsets) for offsets in by_source.values())
    check_marks(list(scored.values()))
    kind_of = {Kind.NEWS: world.topics.news, Kind.COMMENT: world.topics.comments}
    for part in scored.values():
        for _, record in part.documents:
            assert record.origin.partition.topic == kind_of[record.scored.document.kind]
            assert record.scored.config_hash == "c0ffee"

    letters = [decode_dead_letter(letter) for letter in await world.dead_letters()]
    assert {letter.reason for letter in letters} == set(BAD)
    assert sorted(letter.key or b"" for letter in letters) == sorted(m.key or b"" for m in bad)
    originals = {message.key: message for message in bad}
    for letter in letters:
        original = originals[letter.key]
        assert (letter.topic, letter.partition) == (original.topic, original.partition)
        assert (letter.value, letter.headers) == (original.value, original.headers)
        assert letter.reason == original.headers[0][1].decode()
        assert (letter.stage, letter.attempt) == ("classify", 1)
        assert abs(letter.at - datetime.now(UTC)) < timedelta(minutes=2)
        assert letter.message
    assert telemetry.counts["documents_total", "classify", "scored"] == len(good)
    assert sum(n for key, n in telemetry.counts.items() if key[0] == "dead_letters_total") == len(bad)
    assert await world.committed() == await _ends(world, sent)


async def _ends(world: ClassifyWorld, sent: list[Sent]) -> dict[TopicPartition, int]:
    ends: dict[TopicPartition, int] = {}
    for message in sent:
        assert message.partition is not None
        place = TopicPartition(message.topic, message.partition)
        ends[place] = ends.get(place, 0) + 1
    return ends


async def test_a_document_in_another_language_is_passed_on_without_a_score(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap)
    async with world.working():
        await world.produce(
            [
                Sent(topic=world.topics.news, value=document("german", lang="de-AT", text=f"Öl fällt {POISON}")),
                Sent(topic=world.topics.news, value=document("british", lang="en_GB")),
                Sent(topic=world.topics.news, value=document("unknown", lang="und")),
            ]
        )
        await eventually(lambda: world.has_scored(3))
    found = {
        record.scored.document.id: record.scored
        for part in (await world.scored()).values()
        for _, record in part.documents
    }
    assert found["german"].unscored is Unscored.LANGUAGE
    assert found["british"].classification is not None
    assert found["unknown"].classification is not None
    assert not await world.dead_letters()


async def test_a_document_s_symbols_are_looked_for_by_their_names(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap)
    policy = replace(QUICK, names={"ACME": ("Acme", "Acme Inc"), "EXMP": ("Example",), "XYZ": ("Xyz",)})
    text = "#positive Acme Inc:negative Example:positive Xyz:negative"
    async with world.working(policy=policy):
        await world.produce(
            [
                Sent(topic=world.topics.news, value=document("two", text=text, symbols=["ACME", "EXMP", "QQQ"])),
                Sent(topic=world.topics.news, value=document("none", text=text)),
            ]
        )
        await eventually(lambda: world.has_scored(2))
    found = {
        record.scored.document.id: dict(sentiments_of(record.scored))
        for part in (await world.scored()).values()
        for _, record in part.documents
    }
    said = {str(subject): sentiment.label for subject, sentiment in found["two"].items()}
    topic, *_ = said
    assert said == {
        topic: Label.POSITIVE,
        "entity:ACME": Label.NEGATIVE,
        "entity:EXMP": Label.POSITIVE,
        "entity:QQQ": Label.POSITIVE,
    }
    assert len(found["none"]) == 1


class BrokenClassifier(HashClassifier):
    """A model that fails on everything."""

    def infer(self, prepared: Prepared) -> list[Classification]:
        raise RuntimeError("the weights are gone")


async def test_a_model_that_fails_on_everything_stops_the_flow_and_loses_nothing(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap)
    await world.produce([Sent(topic=world.topics.news, value=document(f"doc-{n}")) for n in range(100)])
    async with world.working(classifier=BrokenClassifier()) as intake:
        with pytest.raises(PermanentError, match="fails on a harmless text too"):
            await asyncio.wait_for(intake.wait(), 15)
        assert intake.health.failed
    assert not await world.dead_letters()
    assert not await world.committed()
    async with world.working():
        await eventually(lambda: world.has_scored(100))


async def test_a_worker_that_joins_says_which_sources_it_has_not_read_before_it_reads(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap, partitions=2, scored_partitions=3)
    await world.produce([Sent(topic=world.topics.news, value=document("doc-1"), partition=1)])
    async with world.working():
        await eventually(lambda: world.has_scored(1))
    for part in (await world.scored()).values():
        first = {(mark.partition.topic, mark.partition.number): mark for _, mark in reversed(part.marks)}
        assert {place: mark.status for place, mark in first.items()} == {
            (world.topics.news, 0): MarkStatus.IDLE,
            (world.topics.news, 1): MarkStatus.UNREAD,
            (world.topics.comments, 0): MarkStatus.IDLE,
            (world.topics.comments, 1): MarkStatus.IDLE,
        }
        assert all(mark.fan_out == 3 and mark.high_time is None for mark in first.values())
        reading = [mark for _, mark in part.marks if mark.status is MarkStatus.READING]
        assert [(mark.partition.number, mark.next_offset) for mark in reading] == [(1, 1)]


async def test_a_source_that_is_read_to_its_end_turns_idle_and_wakes_again(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap, partitions=1, scored_partitions=2)
    published = datetime(2014, 1, 6, 14, 0, tzinfo=UTC)
    first = Sent(topic=world.topics.news, value=document("doc-1", published_at=published.isoformat()))
    second = Sent(
        topic=world.topics.news, value=document("doc-2", published_at=(published - timedelta(hours=1)).isoformat())
    )

    async def changes() -> list[list[Mark]]:
        """What is said of the source; that it is idle is said again after each while."""
        parts = (await world.scored()).values()
        said = ([mark for _, mark in part.marks if mark.partition.topic == world.topics.news] for part in parts)
        return [
            [mark for before, mark in pairwise([None, *marks]) if mark.status is not idle or mark != before]
            for marks in said
        ]

    async def say(expected: list[MarkStatus]) -> bool:
        return [[mark.status for mark in marks] for marks in await changes()] == [expected] * 2

    idle, reading = MarkStatus.IDLE, MarkStatus.READING
    async with world.working():
        await eventually(lambda: say([idle]))
        await world.produce([first])
        await eventually(lambda: say([idle, reading, idle]))
        await world.produce([second])
        await eventually(lambda: say([idle, reading, idle, reading, idle]))
    for marks in await changes():
        assert [mark.high_time for mark in marks] == [None, *[published] * 4]
        assert [mark.next_offset for mark in marks] == [0, 1, 1, 2, 2]
    for part in (await world.scored()).values():
        for _, record in part.documents:
            assert record.origin.high_time == published


async def test_an_end_mark_ends_its_source_behind_everything_before_it(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap, partitions=1, scored_partitions=2)
    published = datetime(2014, 1, 6, 14, 0, tzinfo=UTC)
    end = published + timedelta(minutes=1)
    async with world.working():
        await world.produce(
            [
                Sent(topic=world.topics.news, value=document("doc-1", published_at=published.isoformat())),
                Sent(topic=world.topics.news, value=encode_end(end), headers=end_headers()),
                Sent(topic=world.topics.comments, value=document("doc-2", published_at=published.isoformat())),
                Sent(topic=world.topics.comments, value=encode_end(end), headers=end_headers()),
                Sent(topic=world.topics.comments, value=document("doc-3", published_at=end.isoformat())),
                Sent(topic=world.topics.news, value=b'{"at":"later"}', headers=end_headers()),
            ]
        )
        await eventually(lambda: world.has_scored(3))
        await eventually(world.dead_letters)
    parts = await world.scored()
    check_marks(list(parts.values()))
    for part in parts.values():
        ended = {mark.partition.topic: mark for _, mark in part.marks if mark.status is MarkStatus.ENDED}
        assert ended[world.topics.news].next_offset == ended[world.topics.comments].next_offset == 2
        assert {mark.ended_at for mark in ended.values()} == {end}
        last = [
            mark for _, mark in part.marks if mark.partition.topic == world.topics.comments and mark.next_offset == 3
        ]
        assert last[0].status is MarkStatus.READING
        assert last[0].high_time == end
    assert [decode_dead_letter(letter).reason for letter in await world.dead_letters()] == ["bad_end_mark"]


async def test_dead_letters_keep_large_values_whole(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(
        kafka_bootstrap,
        partitions=1,
        configs={"news": {"max.message.bytes": "8000000"}, "dead_letters": {"max.message.bytes": "1048588"}},
    )
    inflated = json.dumps({"text": "x" * 6_000_000}).encode()
    noise = random.Random(7).randbytes(3_000_000)
    await world.produce(
        [Sent(topic=world.topics.news, key=b"inflated", value=inflated)],
        compression_type="gzip",
        max_request_size=8_000_000,
    )
    await world.produce(
        [
            Sent(topic=world.topics.news, key=b"noise", value=noise),
            Sent(topic=world.topics.news, key=b"small", value=b"no json"),
            Sent(topic=world.topics.news, value=document("doc-1")),
        ],
        max_request_size=8_000_000,
    )
    async with world.working():
        await eventually(lambda: world.has_scored(1))
        await eventually(world.dead_letters)
    letters = {letter.key: letter for letter in await world.dead_letters()}
    assert letters[b"inflated"].value == inflated
    assert letters[b"small"].value == b"no json"
    # What the topic does not take even compressed says where its original lies.
    assert len(gzip.compress(noise)) > 1_048_588
    assert letters[b"noise"].value is None
    headers = dict(letters[b"noise"].headers)
    assert headers[PREFIX + "value_bytes"] == b"3000000"
    assert headers[PREFIX + "offset"] == b"1"


async def test_compressed_messages_of_every_kind_are_read(kafka_bootstrap: str) -> None:
    world = ClassifyWorld.make(kafka_bootstrap)
    kinds = ("gzip", "snappy", "lz4", "zstd")
    for kind in kinds:
        messages = [Sent(topic=world.topics.news, value=document(f"{kind}-{n}")) for n in range(20)]
        await world.produce(messages, compression_type=kind)
    async with world.working():
        await eventually(lambda: world.has_scored(80))

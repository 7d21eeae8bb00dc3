"""Ten thousand malformed messages of every kind among good ones: all good ones are stored, every bad one is kept with
its reason, and nothing is ever started again."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from support import audit
from support.machine import Machine
from support.receiver import WebhookReceiver

from service import connections
from service.demo.compose_sample import compose

pytestmark = [pytest.mark.acceptance, pytest.mark.servers, pytest.mark.timeout(600)]

BAD = 10_000
NOW = datetime.now(UTC)
Headers = list[tuple[str, bytes]]
Message = tuple[bytes | None, Headers, str]
"""Value, headers, and the reason expected."""


def document(**fields: Any) -> bytes:
    return json.dumps({"text": "Oil prices steady"} | fields).encode()


def malformed(rng: random.Random) -> Iterator[Message]:
    """Each kind in turn, with something in it that is never the same."""
    while True:
        n = rng.randrange(10**9)
        noise = rng.randbytes(rng.randint(1, 200))
        yield b"\xff\xfe" + noise, [], "not_utf8"
        yield document(text=f"cut {n}")[: -rng.randint(1, 8)], [], "not_json"
        yield b"<xml>%d</xml>" % n, [], "not_json"
        yield b"", [], "not_json"
        yield b'{"text": "deep", "x": ' + b"[" * 100_000, [], "too_deep"
        yield json.dumps([{"text": "a list"}] * 3).encode(), [], "wrong_type"
        yield b"%d" % n, [], "wrong_type"
        yield None, [], "tombstone"
        yield document(text=f"a nul \0 {n}"), [], "nul_character"
        yield document(title="nul \0"), [], "nul_character"
        yield b'{"text": "half \\ud800 a pair %d"}' % n, [], "lone_surrogate"
        yield json.dumps({"title": f"no text {n}"}).encode(), [], "no_text"
        yield document(text=" \n\t "), [], "no_text"
        yield document(text="x" * 65_537), [], "field_too_long"
        yield document(title="é" * 2_049), [], "field_too_long"
        yield document(url="https://example.com/" + "a" * 5_000), [], "field_too_long"
        yield document(symbols=[f"S{i}" for i in range(51)]), [], "too_many_symbols"
        yield document(symbols=["not a symbol!"]), [], "bad_symbol"
        yield document(published_at="yesterday"), [], "bad_date"
        yield document(published_at="2026-13-45T00:00:00Z"), [], "bad_date"
        yield document(published_at="2026-01-01T00:00:00"), [], "bad_date"
        yield document(published_at="0001-01-01T00:00:00Z"), [], "bad_date"
        yield document(published_at="9999-12-31T23:59:60Z"), [], "bad_date"
        yield b'{"text": "a huge date", "published_at": 1e400}', [], "bad_date"
        yield document(published_at=(NOW + timedelta(days=400)).isoformat()), [], "date_ahead"
        yield document(text=["a", "list"]), [], "wrong_type"
        yield document(symbols="AAPL"), [], "wrong_type"
        yield document(), [("ce_specversion", b"1.0"), ("ce_id", b"1")], "cloudevent_invalid"
        yield (
            json.dumps({"specversion": "9.9", "id": "1", "source": "s", "type": "t", "data": {}}).encode(),
            [("content-type", b"application/cloudevents+json")],
            "cloudevent_version",
        )
        yield b"oops", [("groundswell.mark", b"end")], "bad_end_mark"


def good(number: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for seed in range(-(-number // 700)):
        rows += [row | {"id": f"good-{seed}-{row['id']}"} for row in compose(seed=seed)]
    odd: list[dict[str, Any]] = [
        {"id": "good-emoji", "text": "🚀 to the moon \u202e \u0000".replace("\0", "")},
        {"id": "good-url", "text": "https://example.com/only"},
        {"id": "good-long", "text": "Shares fell sharply after the warning. " * 1_600},
        {"id": "good-foreign", "text": "Die Aktie fällt", "lang": "de"},
        {"id": "good-twice", "text": "The same document", "title": "The same document"},
        {"id": "good-twice", "text": "The same document", "title": "The same document"},
    ]
    return rows[:number] + odd


def letters(machine: Machine) -> list[tuple[str, bytes | None]]:
    """All dead letters: reason and value."""
    connection = connections.kafka(machine.settings).kafka_python()
    consumer = KafkaConsumer(**connection, enable_auto_commit=False, max_partition_fetch_bytes=1 << 24)
    places = [TopicPartition("dead-letters", number) for number in consumer.partitions_for_topic("dead-letters")]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends = consumer.end_offsets(places)
    found = []
    while any(consumer.position(place) < ends[place] for place in places):
        for records in consumer.poll(timeout_ms=1000).values():
            found += [(dict(record.headers)["groundswell.errors.reason"].decode(), record.value) for record in records]
    consumer.close()
    return found


def test_every_bad_message_is_kept_with_its_reason_and_every_good_one_stored(tmp_path: Path) -> None:
    rng = random.Random(4)
    kinds = malformed(rng)
    bad = [next(kinds) for _ in range(BAD)]
    rows = good(1_500)
    expected = Counter((reason, value) for value, _, reason in bad)
    messages: list[Message] = [*bad, *((json.dumps(row).encode(), [], "") for row in rows)]
    rng.shuffle(messages)
    with (
        WebhookReceiver() as receiver,
        Machine(tmp_path, port=8464, receiver_url=receiver.url) as machine,
    ):
        before = machine.running("classify", "record", "watch", "serve")
        producer = KafkaProducer(**connections.kafka(machine.settings).kafka_python(), max_request_size=1 << 23)
        for value, headers, _ in messages:
            producer.send(rng.choice(["news", "comments"]), value=value, headers=headers, key=rng.randbytes(4))
        producer.flush()
        producer.close()
        ids = {str(row["id"]) for row in rows}

        def all_stored() -> bool:
            return audit.query(machine.settings, "SELECT count(*) FROM document") == [(len(ids),)]

        machine.wait_until(all_stored, 200)
        machine.wait_until(lambda: len(letters(machine)) >= BAD, 100)
        kept = Counter(letters(machine))
        assert Counter(reason for reason, _ in kept.elements()) == Counter(reason for _, _, reason in bad)
        assert kept == expected, "a value was changed"
        audit.assert_counted_exactly(machine.settings, ids)
        assert machine.running(*before) == before, machine.said[-3000:]
        foreign = "SELECT d.unscored, count(s.document_id) FROM document d LEFT JOIN score s USING (document_id) "
        assert audit.query(machine.settings, foreign + "WHERE given_id = 'good-foreign' GROUP BY 1") == [(1, 0)]
        listed = machine.command("dead-letters", "list")
        assert listed.returncode == 0
        assert "not_utf8" in listed.stdout

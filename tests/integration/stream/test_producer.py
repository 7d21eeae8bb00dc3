"""Writing whole batches: in order, whatever their size, or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.kafka_world import make_topics, read_all

from domain.errors import TemporaryError
from stream.incoming import TopicPartition
from stream.kafka import KafkaConnection
from stream.producer import Producer, Record, TooLarge

pytestmark = pytest.mark.servers


async def test_runs_larger_than_a_batch_keep_their_order(
    kafka_bootstrap: str, unique_topic: Callable[[str], str]
) -> None:
    topic = unique_topic("runs")
    make_topics(kafka_bootstrap, {topic: 2})
    producer = Producer(KafkaConnection(bootstrap_servers=kafka_bootstrap), name="test", max_batch_bytes=10_000)
    try:
        assert await producer.partitions(topic) == 2
        runs = {
            TopicPartition(topic, 0): [Record(b"%d" % n, b"x" * 700, (("n", b"%d" % n),)) for n in range(100)],
            TopicPartition(topic, 1): [Record(None, b"y" * 50_000), Record(b"last", None)],
        }
        await producer.send(runs)
        await producer.send({})
    finally:
        await producer.stop()
    found = await read_all(kafka_bootstrap, topic)
    assert [(m.key, m.headers) for m in found[0]] == [(b"%d" % n, (("n", b"%d" % n),)) for n in range(100)]
    assert [(m.key, m.value) for m in found[1]] == [(None, b"y" * 50_000), (b"last", None)]


async def test_what_a_topic_does_not_take_is_told_apart_and_the_producer_goes_on(
    kafka_bootstrap: str, unique_topic: Callable[[str], str]
) -> None:
    topic = unique_topic("small")
    make_topics(kafka_bootstrap, {topic: 1}, {topic: {"max.message.bytes": "2000"}})
    producer = Producer(KafkaConnection(bootstrap_servers=kafka_bootstrap), name="test")
    place = TopicPartition(topic, 0)
    try:
        with pytest.raises(TooLarge, match=r"max\.message\.bytes"):
            await producer.send({place: [Record(b"large", b"x" * 5000)]})
        await producer.send({place: [Record(b"small", b"x")]})
    finally:
        await producer.stop()
    assert [m.key for m in (await read_all(kafka_bootstrap, topic))[0]] == [b"small"]


async def test_a_topic_that_is_not_there_is_waited_for(
    kafka_bootstrap: str, unique_topic: Callable[[str], str]
) -> None:
    topic = unique_topic("absent")
    producer = Producer(KafkaConnection(bootstrap_servers=kafka_bootstrap), name="test", request_timeout=2)
    try:
        with pytest.raises(TemporaryError, match=topic):
            await producer.partitions(topic)
        make_topics(kafka_bootstrap, {topic: 3})
        assert await producer.partitions(topic) == 3
    finally:
        await producer.stop()


async def test_a_kafka_that_is_away_is_a_temporary_error() -> None:
    producer = Producer(KafkaConnection(bootstrap_servers="127.0.0.1:1"), name="test", request_timeout=1)
    with pytest.raises(TemporaryError, match=r"127\.0\.0\.1:1"):
        await producer.send({TopicPartition("t", 0): [Record(None, b"x")]})
    await producer.stop()

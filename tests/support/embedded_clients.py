"""Puts one thing into each server and looks for it again, as a client would."""

from __future__ import annotations

import psycopg2
import redis as redis_client
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from service.embedded import Addresses, KafkaAddress

TOPIC = "kept"


def kafka_settings(address: KafkaAddress) -> dict[str, object]:
    """The address in librdkafka's words."""
    settings: dict[str, object] = {
        "bootstrap.servers": address.bootstrap_servers,
        "security.protocol": address.security_protocol,
        "log_level": 0,
    }
    if address.sasl_mechanism is not None:
        settings |= {
            "sasl.mechanism": address.sasl_mechanism,
            "sasl.username": address.sasl_username,
            "sasl.password": address.sasl_password,
        }
    return settings


def put(name: str, addresses: Addresses, value: str) -> None:
    """Returns when the server has acknowledged it."""
    if name == "postgres":
        with psycopg2.connect(addresses.postgres_dsn) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
            cursor.execute("INSERT INTO kept VALUES (%s)", (value,))
        connection.close()
    elif name == "redis":
        assert addresses.redis_url is not None
        with redis_client.Redis.from_url(addresses.redis_url) as client:
            client.rpush("kept", value)
            client.waitaof(1, 0, 5000)
    else:
        assert addresses.kafka is not None
        make_topic(addresses.kafka)
        send(addresses.kafka, value.encode())


def kept(name: str, addresses: Addresses) -> list[str]:
    """Everything that was put there, in order."""
    if name == "postgres":
        with psycopg2.connect(addresses.postgres_dsn) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT value FROM kept")
            values = [value for (value,) in cursor.fetchall()]
        connection.close()
        return values
    if name == "redis":
        assert addresses.redis_url is not None
        with redis_client.Redis.from_url(addresses.redis_url, decode_responses=True) as client:
            return list(client.lrange("kept", 0, -1))
    assert addresses.kafka is not None
    return [(message.value() or b"").decode() for message in read(addresses.kafka)]


def make_topic(address: KafkaAddress) -> None:
    """Make the topic unless it is there."""
    admin = AdminClient(kafka_settings(address))
    if TOPIC not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(timeout=10)


def send(address: KafkaAddress, value: bytes, **options: object) -> None:
    """Produce one message and wait for it."""
    errors: list[object] = []
    settings = kafka_settings(address) | {"acks": "all", "message.max.bytes": 64 * 1024 * 1024, **options}
    producer = Producer(settings)
    producer.produce(TOPIC, value, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(20) == 0
    assert errors == [None]


def read(address: KafkaAddress) -> list[Message]:
    """The whole topic."""
    consumer = Consumer(kafka_settings(address) | {"group.id": "test", "fetch.message.max.bytes": 64 * 1024 * 1024})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=10)
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        messages: list[Message] = []
        while len(messages) < end:
            message = consumer.poll(10)
            assert message is not None, f"{len(messages)} of {end} messages came"
            assert message.error() is None
            messages.append(message)
        return messages
    finally:
        consumer.close()

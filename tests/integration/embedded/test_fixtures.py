"""The fixtures that all server tests stand on."""

from __future__ import annotations

from collections.abc import Callable

import psycopg2
import pytest
import redis as redis_client
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_fresh_database_is_empty_and_takes_tables(fresh_database: str, attempt: int) -> None:
    with psycopg2.connect(fresh_database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE only_here (id int)")
        cursor.execute("SELECT current_setting('server_encoding'), upper('é')")
        assert cursor.fetchone() == ("UTF8", "É")


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_fresh_redis_is_empty(fresh_redis: str, attempt: int) -> None:
    with redis_client.Redis.from_url(fresh_redis) as client:
        assert client.dbsize() == 0
        client.set("key", attempt)


def test_topics_are_made_by_hand_and_take_messages(kafka_bootstrap: str, unique_topic: Callable[[str], str]) -> None:
    topic = unique_topic("news")
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all")
    assert producer.send(topic, b"hello").get(timeout=10).offset == 0
    producer.close()
    admin.close()

"""The broker in memory: enough for a demonstration."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer

from service.embedded import MemoryKafka


def test_it_gives_back_what_it_was_given() -> None:
    with MemoryKafka() as kafka:
        assert kafka.address.security_protocol == "PLAINTEXT"
        settings: dict[str, object] = {"bootstrap.servers": kafka.address.bootstrap_servers, "log_level": 0}
        producer = Producer(settings)
        producer.produce("news", b"hello")
        assert producer.flush(10) == 0
        consumer = Consumer(settings | {"group.id": "test", "auto.offset.reset": "earliest"})
        consumer.subscribe(["news"])
        message = consumer.poll(20)
        assert message is not None
        assert message.value() == b"hello"
        consumer.close()
    with pytest.raises(RuntimeError, match="not started"):
        _ = kafka.address

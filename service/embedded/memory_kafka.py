"""A broker inside this process, for a demonstration where Kafka itself can't be had: librdkafka's mock."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, Producer

from domain.errors import PermanentError
from service.embedded.kafka import KafkaAddress


class MemoryKafka:
    """Keeps messages in memory and forgets them with the process. Never evidence of reliability: 5 MiB per partition at
    most, topics made at first use with four partitions, no way to make them otherwise.
    """

    def __init__(self) -> None:
        self._producer: Producer | None = None
        self._address: KafkaAddress | None = None

    @property
    def address(self) -> KafkaAddress:
        """Where it is. Raises RuntimeError before `start`."""
        if self._address is None:
            raise RuntimeError("the in-memory broker is not started")
        return self._address

    def start(self) -> None:
        """Raises PermanentError when there is no room for it (no free port)."""
        try:
            # The mock brokers live as long as this client.
            self._producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
            brokers = self._producer.list_topics(timeout=10).brokers.values()
        except KafkaException as error:
            raise PermanentError(f"the in-memory broker does not start: {error.args[0].str()}") from error
        self._address = KafkaAddress(bootstrap_servers=",".join(f"{broker.host}:{broker.port}" for broker in brokers))

    def stop(self) -> None:
        """Forget everything."""
        self._producer = self._address = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

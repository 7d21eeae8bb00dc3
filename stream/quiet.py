"""Kafka libraries while brokers are away: they log the same lines several times a second, for as long as it lasts."""

from __future__ import annotations

import logging
import time
from typing import Final

_REPEATERS: Final = (
    "aiokafka",
    "aiokafka.client",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
    "aiokafka.producer.transaction_manager",
)


class _Seldom(logging.Filter):
    """Lets a message of one logger through once in so many seconds, whatever its arguments."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._said: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._said.get(record.msg, -self._seconds) < self._seconds:
            return False
        self._said[record.msg] = now
        return True


def quiet_repeaters(seconds: float = 30.0) -> None:
    """Let each of their messages be said once in so many seconds. May be called again."""
    for name in _REPEATERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Seldom) for known in logger.filters):
            logger.addFilter(_Seldom(seconds))

"""Gauges that nobody measures in passing: asked for now and then, beside the work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from domain.errors import GroundswellError
from domain.ports import Outbox, Telemetry

if TYPE_CHECKING:
    from stream.admin import KafkaAdmin

_log = logging.getLogger(__name__)

EVERY = 15.0
"""Seconds: about as often as Prometheus looks."""


@contextmanager
def sampled(sample: Callable[[], None], *, every: float = EVERY) -> Iterator[None]:
    """Take samples in a thread of its own until the end of the block. One that fails is left out: the gauge keeps its
    value, and whoever works with the server says that it is down."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every):
            try:
                sample()
            except GroundswellError as error:
                _log.debug("A sample was left out: %s", error)

    thread = threading.Thread(target=run, name="sampler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # Not waited for: a server that hangs must not hold up our end.
        stop.set()


def sample_lag(admin: KafkaAdmin, *, stage: str, group: str, topics: Sequence[str], telemetry: Telemetry) -> None:
    """How far a stage's group lags behind on each partition; nothing for a topic where it never committed."""
    from stream.topics import describe_topics

    for topic in describe_topics(admin, topics, (group,)):
        for lag in topic.lags:
            telemetry.gauge("lag_messages", lag.lag, stage=stage, topic=topic.name, partition=str(lag.number))


def sample_outbox(outbox: Outbox, telemetry: Telemetry) -> None:
    """How many notifications wait to be delivered."""
    telemetry.gauge("outbox_pending", outbox.waiting())

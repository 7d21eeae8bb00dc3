"""Gauges of what servers know, not a process: asked for now and then beside the work of one that does neither, so that
they go on when the process that they are about is down."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import GroundswellError
from domain.ports import Outbox, Telemetry

if TYPE_CHECKING:
    from stream.admin import KafkaAdmin

_log = logging.getLogger(__name__)

EVERY = 15.0
"""Seconds: about as often as Prometheus looks."""

Sample = Callable[[], None]


class Reads(NamedTuple):
    """What a stage reads, and as whom."""

    group: str
    topics: Sequence[str]


@contextmanager
def sampled(*samples: Sample, every: float = EVERY) -> Iterator[None]:
    """Take samples in a thread of its own until the end of the block. One that fails is taken again next time; whoever
    works with the server says that it is down."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every):
            for sample in samples:
                try:
                    sample()
                except GroundswellError as error:
                    _log.debug("A sample failed: %s", error)

    thread = threading.Thread(target=run, name="sampler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # Not waited for: a server that hangs must not hold up our end.
        stop.set()


def lag_sample(admin: KafkaAdmin, stages: Mapping[str, Reads], telemetry: Telemetry) -> Sample:
    """How far each stage's group lags behind on each partition, by what it has committed; nothing for a topic where it
    never did. A lag that can't be known now is NaN, not what it was."""
    from stream.topics import describe_topics

    known: set[tuple[str, str, int]] = set()

    def sample() -> None:
        found: dict[tuple[str, str, int], int] = {}
        try:
            for stage, reads in stages.items():
                for topic in describe_topics(admin, reads.topics, (reads.group,)):
                    found |= {(stage, topic.name, lag.number): lag.lag for lag in topic.lags}
        finally:
            known.update(found)
            for place in known:
                stage, name, number = place
                lag = found.get(place, math.nan)
                telemetry.gauge("lag_messages", lag, stage=stage, topic=name, partition=str(number))

    return sample


def outbox_sample(outbox: Outbox, telemetry: Telemetry) -> Sample:
    """How many notifications wait to be delivered; NaN when that can't be known now."""

    def sample() -> None:
        waiting: float = math.nan
        try:
            waiting = outbox.waiting()
        finally:
            telemetry.gauge("outbox_pending", waiting)

    return sample

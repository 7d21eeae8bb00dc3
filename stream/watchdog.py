"""Whether an intake still moves: what has come to a stop for good ends the process, which is then started anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from domain.errors import PermanentError, TemporaryError
from stream.faust_app import StageApp
from stream.incoming import TopicPartition
from stream.offsets import Offsets
from stream.pipeline import Pipeline

log = logging.getLogger(__name__)


class Watchdog:
    """Watches a consumer and the steps behind it. For one event loop.

    The intake says whether it reads and when something came; the rest is asked.
    """

    def __init__(
        self,
        name: str,
        *,
        assignment: Callable[[], frozenset[TopicPartition]],
        pipeline: Pipeline,
        offsets: Offsets,
        ask_interval: float,
        stall_after: float,
    ) -> None:
        """`name`: the stage's, for messages. `assignment`: what is assigned now. `ask_interval`: seconds between two
        questions whether Kafka is there. `stall_after`: seconds after which a step that has not returned, or messages
        that nobody fetches, are given up on."""
        self.away: str | None = None
        """What Kafka was last asked in vain for."""
        self._name = name
        self._assignment = assignment
        self._pipeline = pipeline
        self._offsets = offsets
        self._ask_interval = ask_interval
        self._patience = stall_after
        self._last_arrival: float | None = None
        """On the event loop's clock; None while nothing is read."""

    def arrived(self) -> None:
        """A message came, or reading has begun."""
        self._last_arrival = asyncio.get_running_loop().time()

    def paused(self) -> None:
        """Nothing is read until something arrives again."""
        self._last_arrival = None

    def tasks(self, app: StageApp) -> list[Coroutine[Any, Any, None]]:
        """What has to run beside the intake. Raises PermanentError once nothing but a restart helps."""
        return [self._notice_absence(), self._watch(app)]

    async def _notice_absence(self) -> None:
        """The consumer waits for brokers that are away in silence, for as long as it takes."""
        while True:
            await asyncio.sleep(self._ask_interval)
            try:
                await self._offsets.ends(self._assignment())
            except TemporaryError as error:
                if self.away is None and not self._pipeline.blocked_by:
                    log.warning("%s waits: %s", self._name, error)
                self.away = str(error)
            else:
                if self.away is not None:
                    log.info("%s: Kafka answers again", self._name)
                self.away = None

    async def _watch(self, app: StageApp) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(min(1.0, self._patience / 4))
            if app.crashed:
                raise PermanentError(f"the Kafka consumer failed: {app.crash_reason!r}")
            for step, since in self._pipeline.running_since.items():
                if clock() - since > self._patience:
                    raise PermanentError(
                        f"the step {step} has not returned for {self._patience:.0f} s: a restart is needed"
                    )
            if self._last_arrival is None or self._pipeline.in_flight:
                continue
            if clock() - self._last_arrival > self._patience:
                await self._check_that_nothing_waits(app)
                if self._last_arrival is not None:
                    self.arrived()

    async def _check_that_nothing_waits(self, app: StageApp) -> None:
        try:
            ends = await self._offsets.ends(self._assignment())
            async with asyncio.timeout(self._patience):
                positions = await app.positions()
        except TemporaryError as error:
            log.warning("%s: %s", self._name, error)
            return
        except TimeoutError as error:
            raise PermanentError("Kafka answers, its consumer does not: a restart is needed") from error
        waiting = sum(max(0, end - positions[place].next_fetch) for place, end in ends.items() if place in positions)
        if waiting:
            raise PermanentError(f"{waiting} messages wait, none came for {self._patience:.0f} s: a restart is needed")

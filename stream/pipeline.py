"""Batches on their way through steps: each step on one batch at a time, in order, side by side with the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

from domain.errors import TemporaryError
from domain.ports import Telemetry
from stream.incoming import Batch

log = logging.getLogger(__name__)

Step = Callable[[Any], Awaitable[Any]]
"""Takes what the step before it returned; the first takes a stream.incoming.Batch. A step sees one batch at a time, in
order, while the other steps work on the batches before and behind it. When the last one returns, everything that the
batch caused is durable, and its offsets are committed.

A step that raises TemporaryError is called again with the same value after a back-off, until it succeeds or the
partitions are revoked: it must be idempotent. Any other error ends the process. Blocking work belongs in a thread.
"""

ABANDONED: Final = object()
"""What an attempt comes to when its epoch ended."""


class _Work:
    __slots__ = ("batch", "epoch", "value")

    def __init__(self, batch: Batch, epoch: int) -> None:
        self.batch = batch
        self.epoch = epoch
        self.value: Any = batch


class Pipeline:
    """The steps of a stage, and what is in flight in them. For one event loop.

    Work belongs to an epoch. When that ends, its batches are dropped wherever they are, and none of them completes: a
    batch that completes tells that all before it of its epoch did.
    """

    def __init__(
        self,
        name: str,
        steps: tuple[Step, ...],
        *,
        completed: Callable[[Batch], None],
        failed: Callable[[BaseException], None],
        retry_first: float,
        retry_most: float,
        telemetry: Telemetry,
    ) -> None:
        """`completed` is told of each batch that came through, in order; `failed` of what can't be tried again.
        `retry_first`, `retry_most`: seconds; the back-off doubles from one to the other."""
        self.epoch = 0
        self.in_flight = 0
        self.settled = asyncio.Event()
        """Set while nothing is in flight, of whatever epoch."""
        self.settled.set()
        self.running_since: dict[str, float] = {}
        """Which attempts run now, and since when (the event loop's time)."""
        self.blocked_by: dict[str, str] = {}
        """What each step that is to be tried again failed of."""
        self._name = name
        self._steps = steps
        self._completed = completed
        self._failed = failed
        self._retry_first = retry_first
        self._retry_most = retry_most
        self._telemetry = telemetry
        self._lanes: list[asyncio.Queue[_Work]] = [asyncio.Queue(maxsize=1) for _ in steps]
        self._first_is_free = asyncio.Semaphore(1)
        self._releasing = asyncio.Event()

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run for the steps to work."""
        return [self._work(index) for index in range(len(self._steps))]

    async def ready(self) -> None:
        """Wait until a batch can be submitted; each return allows one."""
        await self._first_is_free.acquire()

    async def submit(self, batch: Batch, epoch: int) -> None:
        """Send a batch of this epoch on its way."""
        self.in_flight += 1
        self.settled.clear()
        await self._lanes[0].put(_Work(batch, epoch))

    def release(self) -> None:
        """The epoch is about to end: what runs may finish, what fails is not tried again."""
        self._releasing.set()

    def end_epoch(self) -> None:
        """Drop whatever is in flight."""
        self.epoch += 1

    def begin_epoch(self) -> None:
        """Try again what fails, from now on."""
        self._releasing.clear()

    async def persist(self, name: str, attempt: Callable[[], Awaitable[Any]], epoch: int) -> Any:
        """Try until it succeeds; ABANDONED when it never will, or when the epoch ends before."""
        clock = asyncio.get_running_loop().time
        delay = self._retry_first
        while epoch == self.epoch:
            self.running_since[name] = clock()
            try:
                value = await attempt()
            except TemporaryError as error:
                reason, wait = str(error), error.delay or delay
            except Exception as error:
                # Nothing behind this may complete, or its offsets would be committed past what failed.
                self.end_epoch()
                self._failed(error)
                break
            else:
                if self.blocked_by.pop(name, None) is not None:
                    log.info("%s goes on: %s succeeded", self._name, name)
                return value
            finally:
                del self.running_since[name]
            if self.blocked_by.get(name) != reason:
                log.warning("%s waits: %s", self._name, reason)
                self.blocked_by[name] = reason
            if await self._released_within(wait):
                self.end_epoch()
            delay = min(delay * 2, self._retry_most)
        self.blocked_by.pop(name, None)
        return ABANDONED

    async def _work(self, index: int) -> None:
        step = self._steps[index]
        name = getattr(step, "__name__", str(index))
        while True:
            work = await self._lanes[index].get()
            if index == 0:
                self._first_is_free.release()
            value = await self.persist(name, partial(self._timed, step, name, work.value), work.epoch)
            if value is not ABANDONED and index + 1 < len(self._steps):
                work.value = value
                await self._lanes[index + 1].put(work)
                continue
            if value is not ABANDONED and work.epoch == self.epoch:
                self._completed(work.batch)
            self.in_flight -= 1
            if not self.in_flight:
                self.settled.set()

    async def _timed(self, step: Step, name: str, value: Any) -> Any:
        with self._telemetry.timed("step_seconds", stage=self._name, step=name):
            return await step(value)

    async def _released_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._releasing.wait()
        except TimeoutError:
            return False
        return True

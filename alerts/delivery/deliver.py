"""The deliverer: takes notifications from the outbox to their receivers, until each is delivered or given up.

A crash at any moment loses nothing: the lease runs out, and the notification is sent again under the same webhook id.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

import httpx

from alerts.delivery.claim import claim, lease_for
from alerts.delivery.receiver import Receiver
from alerts.delivery.schedule import Schedule, Verdict, judge
from alerts.delivery.send import Answer, open_client, send
from alerts.delivery.settle import describe, settle
from alerts.delivery.sign import signed_headers
from domain.alert import Claimed, Delivery, Outcome
from domain.errors import TemporaryError
from domain.ports import NoTelemetry, Outbox, Telemetry

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

Clients = Mapping[str, httpx.AsyncClient]


@dataclass(frozen=True, kw_only=True)
class DeliveryPolicy:
    """How deliveries are paced."""

    schedule: Schedule = field(default_factory=Schedule)
    concurrency: int = 8
    """Attempts under way at a time."""
    poll: timedelta = timedelta(milliseconds=500)
    """How often the outbox is asked for what is due."""
    most_wait: timedelta = timedelta(seconds=30)
    """The longest wait between tries while the outbox is down."""
    lease_margin: timedelta = timedelta(seconds=30)
    """How much longer a lease lasts than the longest attempt."""
    grace: timedelta = timedelta(seconds=5)
    """How long attempts under way may take to end when told to stop."""


class Deliverer:
    """Delivers from one outbox. One thread; any number of deliverers may share the outbox."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        *,
        outbox: Outbox,
        clock: Callable[[], datetime],
        telemetry: Telemetry | None = None,
        policy: DeliveryPolicy | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`clock` is the wall clock, in UTC; `chance` gives random numbers in [0, 1) for the jitter."""
        self._receivers = {receiver.name: receiver for receiver in receivers}
        if len(self._receivers) != len(receivers):
            raise ValueError("receivers must have different names")
        self._outbox = outbox
        self._clock = clock
        self._telemetry = telemetry or NoTelemetry()
        self._policy = policy or DeliveryPolicy()
        self._chance = chance
        self._lease = lease_for(receivers, self._policy.lease_margin)
        self._ports = ThreadPoolExecutor(max_workers=2, thread_name_prefix="outbox")

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set. An outbox that is down is waited for; PermanentError is raised."""
        asyncio.run(self._run(stop))

    def deliver_due(self) -> tuple[Delivery, ...]:
        """One round: claim what is due now, attempt all of it, settle it. Raises what the outbox raises."""
        return asyncio.run(self._round())

    async def _run(self, stop: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        poll = wait = self._policy.poll.total_seconds()
        claim_at = loop.time()
        async with AsyncExitStack() as stack:
            clients = await self._open_clients(stack)
            flying: set[asyncio.Task[Delivery]] = set()
            while not stop.is_set():
                if loop.time() >= claim_at:
                    try:
                        claimed = await self._claim(self._policy.concurrency - len(flying))
                        wait = poll
                    except TemporaryError as error:
                        claimed, wait = (), min(wait * 2, self._policy.most_wait.total_seconds())
                        log.warning("Waiting %.0f s: %s", wait, error)
                    claim_at = loop.time() + (0 if claimed else wait)
                    flying |= {asyncio.create_task(self._deliver(clients, one)) for one in claimed}
                if not flying:
                    await asyncio.sleep(poll)
                    continue
                done, flying = await asyncio.wait(flying, timeout=poll, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            if flying:
                await asyncio.wait(flying, timeout=self._policy.grace.total_seconds())

    async def _round(self) -> tuple[Delivery, ...]:
        async with AsyncExitStack() as stack:
            clients = await self._open_clients(stack)
            claimed = await self._claim(self._policy.concurrency)
            return tuple(await asyncio.gather(*(self._deliver(clients, one) for one in claimed)))

    async def _open_clients(self, stack: AsyncExitStack) -> Clients:
        return {name: await stack.enter_async_context(open_client(one)) for name, one in self._receivers.items()}

    async def _claim(self, room: int) -> Sequence[Claimed]:
        return await self._blocking(claim, self._outbox, now=self._clock(), lease=self._lease, limit=room)

    async def _deliver(self, clients: Clients, claimed: Claimed) -> Delivery:
        """sign → send → judge → settle."""
        notification = claimed.notification
        receiver = self._receivers.get(notification.receiver)
        at = self._clock()
        if receiver is None:
            answer = Answer(error="no receiver of this name is configured")
        else:
            headers = signed_headers(receiver, notification, at)
            answer = await send(clients[receiver.name], receiver, headers, notification.payload)
        verdict = judge(
            self._policy.schedule, attempt=claimed.attempt, answer=answer, now=self._clock(), chance=self._chance()
        )
        delivery = describe(claimed, answer, verdict, at)
        held = await self._settle(claimed, delivery, verdict)
        self._measure(delivery)
        if not held:
            log.warning("Delivery %s to %s: the lease was lost", delivery.webhook_id, delivery.receiver)
        elif delivery.outcome is not Outcome.DELIVERED:
            log.warning(
                "Delivery %s to %s: %s, %s", delivery.webhook_id, delivery.receiver, delivery.error, verdict.reason
            )
        return delivery

    async def _settle(self, claimed: Claimed, delivery: Delivery, verdict: Verdict) -> bool:
        """Keep trying while the lease lasts: an attempt that is not settled is made again."""
        while True:
            try:
                return await self._blocking(settle, self._outbox, claimed, delivery, verdict)
            except TemporaryError as error:
                if self._clock() - delivery.at >= self._lease:
                    return False
                log.warning("An attempt could not be settled yet: %s", error)
                await asyncio.sleep(1)

    async def _blocking(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a port from a thread of our own: name resolution that hangs fills the loop's."""
        return await asyncio.wrap_future(self._ports.submit(call, *args, **kwargs))

    def _measure(self, delivery: Delivery) -> None:
        self._telemetry.count("deliveries_total", receiver=delivery.receiver, outcome=delivery.outcome.value)
        self._telemetry.observe("delivery_seconds", delivery.duration, receiver=delivery.receiver)

"""A bounded queue of messages that is emptied in batches: full to a size, or as full as they are after a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from stream.incoming import Incoming


@dataclass(frozen=True, kw_only=True)
class BatchPolicy:
    """How batches are made."""

    max_batch: int
    """Messages in a batch, at most."""
    max_batch_bytes: int
    """Bytes of values in a batch, at most (one message may be larger)."""
    max_wait: float
    """Seconds that a message waits for its batch to fill."""
    max_queued: int
    """When so many messages wait, no more are taken."""
    max_queued_bytes: int
    """Bytes of their values; likewise."""


class MessageQueue:
    """Messages on their way from the agent to the collector: one task puts, one takes, on one event loop."""

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._messages: deque[Incoming] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    async def put(self, messages: Sequence[Incoming]) -> None:
        """Take them all; returns when there is room for more."""
        self._messages.extend(messages)
        self._bytes += sum(_size(message) for message in messages)
        self._arrived.set()
        while self._is_full():
            self._room.clear()
            await self._room.wait()

    async def arrives_within(self, seconds: float) -> bool:
        """Whether there is a message now, or one comes within so many seconds."""
        return bool(self._messages) or await self._changes_within(seconds)

    async def take(self) -> list[Incoming]:
        """The next batch: returns when it is full, or when the time is up."""
        policy, clock = self._policy, asyncio.get_running_loop().time
        deadline = clock() + policy.max_wait
        while len(self._messages) < policy.max_batch and self._bytes < policy.max_batch_bytes:
            if not await self._changes_within(deadline - clock()):
                break
        return self._take_some()

    def clear(self) -> None:
        """Forget them all, and let who waits for room go."""
        self._messages.clear()
        self._bytes = 0
        self._room.set()

    def _is_full(self) -> bool:
        return len(self._messages) >= self._policy.max_queued or self._bytes >= self._policy.max_queued_bytes

    def _take_some(self) -> list[Incoming]:
        taken: list[Incoming] = []
        total = 0
        while self._messages and len(taken) < self._policy.max_batch:
            size = _size(self._messages[0])
            if taken and total + size > self._policy.max_batch_bytes:
                break
            total += size
            taken.append(self._messages.popleft())
        self._bytes -= total
        self._room.set()
        return taken

    async def _changes_within(self, seconds: float) -> bool:
        self._arrived.clear()
        if seconds <= 0:
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return True


def _size(message: Incoming) -> int:
    return len(message.value) if message.value is not None else 0

"""Windows in Redis: counted from the history by compare-and-set, rebuilt from it when they are gone.

Why the sums stay exact whatever is killed, flushed or put back to an older state: guards, marks and buckets change in
one script, so any state that Redis ever had holds exactly what the messages below its guards add. The changes to a
state are computed from its guards, and applied only where these still stand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from secrets import token_hex

import msgspec

from domain.errors import TemporaryError, WindowsNotWhole
from domain.log import Partition
from domain.timeline import Minute, minute_of
from domain.watermark import MarkState
from domain.window import Changes
from store.rebuild_source import Increment, RebuildSource
from store.redis import codec
from store.redis.connection import Redis
from store.redis.horizon import EVERYTHING, first_horizon, horizon
from store.redis.lease import Lease, Standing

APPLY_LIMIT = 200_000
"""Buckets that one call may touch: the server answers nobody meanwhile, about a second. Who is further behind than
that is rebuilt, in chunks."""

FILL_CHUNK = 2_000
"""Buckets that one chunk of a rebuild adds: about ten milliseconds of the server."""

DROP_LEAST = 2_000
"""Expired keys that any call may remove. One that adds many buckets may remove more, so that a replay at full speed
does not outrun expiry."""

LEASE_SECONDS = 15.0
WAIT_SECONDS = 5.0
WAIT_STEP = 0.1


class RedisWindows:
    """The port domain.ports.Windows. One instance per process, used by one thread at a time."""

    def __init__(
        self,
        redis: Redis,
        *,
        prefix: str,
        source: RebuildSource,
        retention: timedelta,
        lateness: timedelta,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`retention`: how far behind the watermark minutes are kept; at least baseline + window + some slack.
        `lateness`: as in the watermark. `sleep` waits for another process's rebuild."""
        if retention <= timedelta(0):
            raise ValueError(f"the retention of the windows must be above zero, got {retention}")
        self._redis = redis
        self._prefix = prefix
        self._source = source
        self._retention = retention
        self._lateness = lateness
        self._sleep = sleep
        self._guard = redis.script("guard")
        self._apply = redis.script("apply")
        self._begin = redis.script("begin")
        self._fill = redis.script("fill")
        self._switch = redis.script("switch")
        self._sweep = redis.script("sweep")
        self._namespaces: dict[Partition, str] = {}
        """Where each guard was last seen: changes computed for a guard are void when the windows were made anew, even
        when the new guard happens to be the same."""
        self._horizon: Minute = EVERYTHING
        self._horizon_asked: Minute | None = None

    def guard(self, partition: Partition) -> int | None:
        reply = self._guard(self._prefix, codec.encode_partition(partition))
        if reply is None:
            raise _not_whole()
        namespace, guard = reply
        self._namespaces[partition] = namespace.decode()
        return None if guard is None else int(guard)

    def apply(self, changes: Changes) -> int | None:
        """See the port. Changes too many for one call are not applied: the windows are rebuilt instead.

        Raises ValueError for changes that end before they start (the history is behind the guard: rebuild)."""
        if changes.end < changes.start:
            raise ValueError(f"changes can't end ({changes.end}) before they start ({changes.start})")
        if len(changes.counts) > APPLY_LIMIT:
            self.rebuild()
            return self.guard(changes.partition) or 0
        newest = _newest_minute(changes.marks)
        ask = newest is not None and newest != self._horizon_asked
        reply = self._apply(self._prefix, self._encode(changes, ask=ask))
        outcome = reply[0]
        if outcome == b"empty":
            raise _not_whole()
        self._namespaces[changes.partition] = reply[1].decode()
        if outcome == b"moved":
            return 0 if reply[2] is None else int(reply[2])
        if ask:
            self._follow(codec.decode_marks(reply[2]))
            self._horizon_asked = newest
        return None

    def rebuild(self) -> None:
        """See the port. Joins a rebuild of another process that was begun after this call.

        Raises WindowsNotWhole when another process is at it for long, TemporaryError when it was overtaken (its lease
        ran out, or Redis fell back to an older state meanwhile): call again.
        """
        with Lease(self._redis, prefix=self._prefix, seconds=LEASE_SECONDS) as lease:
            found = lease.ask()
            known = found.started
            waited = 0.0
            while not _joined(found, known):
                if found.ours:
                    self._rebuild()
                    break
                if waited >= WAIT_SECONDS:
                    raise WindowsNotWhole("another process is rebuilding the windows", delay=1.0)
                self._sleep(WAIT_STEP)
                waited += WAIT_STEP
                found = lease.ask()
        # Where guards were seen is kept: changes computed before this, of whatever partition, are void.
        self._horizon, self._horizon_asked = EVERYTHING, None

    def _rebuild(self) -> None:
        namespace = self._begin(self._prefix, token_hex(4)).decode()
        self._sweep_all(keep=namespace)
        with self._source.window_source() as snapshot:
            floor = first_horizon(snapshot.marks, retention=self._retention, lateness=self._lateness)
            chunks = 0
            for chunk in _chunks(snapshot.increments(floor), FILL_CHUNK):
                chunks += 1
                groups = codec.encode_groups(
                    (held.subject, held.minute, held.counts, held.negative_publishers) for held in chunk
                )
                packed = msgspec.msgpack.encode(groups)
                if not self._fill(self._prefix, namespace, chunks, chunks - 1, packed):
                    raise _overtaken()
            finish = {
                "guards": {codec.encode_partition(of): str(offset) for of, offset in snapshot.guards.items()},
                "marks": codec.encode_marks(snapshot.marks),
                "floor": str(floor),
            }
        if not self._switch(self._prefix, namespace, chunks, msgspec.msgpack.encode(finish)):
            raise _overtaken()
        self._sweep_all(keep="")

    def _sweep_all(self, *, keep: str) -> None:
        while self._sweep(self._prefix, keep, DROP_LEAST):
            pass

    def _encode(self, changes: Changes, *, ask: bool) -> bytes:
        publishers = changes.negative_publishers
        increments = (
            (subject, minute, counts, publishers.get((subject, minute), ()))
            for (subject, minute), counts in changes.counts.items()
        )
        request = {
            "partition": codec.encode_partition(changes.partition),
            "topic": codec.topic_prefix(changes.partition),
            "topic_id": codec.topic_id_prefix(changes.partition),
            "namespace": self._namespaces.get(changes.partition, ""),
            "start": str(changes.start),
            "finish": str(changes.end),
            "groups": codec.encode_groups(increments),
            "marks": codec.encode_marks(changes.marks),
            "floor": self._horizon,
            "budget": DROP_LEAST + 4 * len(changes.counts),
            "ask": ask,
        }
        return msgspec.msgpack.encode(request)

    def _follow(self, states: Sequence[MarkState]) -> None:
        reached = horizon(states, retention=self._retention, lateness=self._lateness)
        if reached is not None:
            self._horizon = max(self._horizon, reached)


def _joined(found: Standing, known: int) -> bool:
    return found.current is not None and found.current > known


def _not_whole() -> WindowsNotWhole:
    return WindowsNotWhole("Redis holds no windows: they have to be rebuilt from the history")


def _overtaken() -> TemporaryError:
    return TemporaryError("the rebuild of the windows was overtaken: Redis was put back, or another one began", delay=1)


def _newest_minute(marks: Iterable[MarkState]) -> Minute | None:
    times = [at for mark in marks for at in (mark.high_time, mark.ended_at) if at is not None]
    return minute_of(max(times)) if times else None


def _chunks(increments: Iterable[Increment], size: int) -> Iterator[list[Increment]]:
    rest = iter(increments)
    while chunk := list(islice(rest, size)):
        yield chunk

"""Claim: take a lease on notifications that are due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from alerts.delivery.receiver import Receiver
from domain.alert import Claimed
from domain.ports import Outbox


def lease_for(receivers: Iterable[Receiver], margin: timedelta) -> timedelta:
    """Longer than any attempt takes: the longest time-out and `margin`, in which the attempt is settled."""
    return max((receiver.timeout for receiver in receivers), default=timedelta()) + margin


def claim(outbox: Outbox, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
    """At most `limit` notifications, the oldest first; none when there is no room. Raises what the outbox raises."""
    return outbox.claim(now=now, lease=lease, limit=limit) if limit > 0 else ()

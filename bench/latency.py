"""How long a document takes from Kafka to the windows, at half of what the machine can do: `python -m bench.latency`.

From the timestamp of its record in Kafka until Redis has counted it, seen from outside: while documents are sent at a
steady pace, the guards in Redis (how far each partition of the scored log is counted) are read every few milliseconds.
Afterwards the ledger in Postgres says which message of the scored log made each document, so when its guard passed it.
"""

from __future__ import annotations

import argparse
import sys
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
from kafka import KafkaProducer
from redis import Redis
from rich.console import Console
from rich.table import Table

from bench.documents import message, rows
from bench.machine import Machine, Running, machine, pin, processor
from bench.throughput import END_TO_END, FULL, QUICK, end_to_end
from service import connections, log
from service.settings import Settings

_POLL_SECONDS = 0.005
_PATIENCE_SECONDS = 60.0
_LEDGER = """
    SELECT k.topic || ':' || k.topic_id || ':' || k.number, l.message_offset, extract(epoch FROM d.received_at)::float8
    FROM ledger l JOIN kafka_partition k USING (partition_id) JOIN document d USING (document_id)
"""


class Sender:
    """Sends documents at a steady pace."""

    def __init__(self, settings: Settings, texts: Path | None) -> None:
        self.sent = 0
        self._settings = settings
        self._rows = rows(texts)
        self._producer = KafkaProducer(linger_ms=5, acks="all", **connections.kafka(settings).kafka_python())

    def send(self, count: int, *, rate: float) -> Iterator[None]:
        """Send so many at `rate` a second; gives way every few milliseconds until all are sent."""
        began, before = time.time(), self.sent
        while (done := self.sent - before) < count:
            now = time.time()
            for _ in range(min(count, int((now - began) * rate) + 1) - done):
                one = message(self._settings, next(self._rows), self.sent, datetime.fromtimestamp(now, UTC))
                self._producer.send(one.topic, one.value, key=one.key)
                self.sent += 1
            time.sleep(_POLL_SECONDS)
            yield

    def close(self) -> None:
        """Close the connections."""
        self._producer.close()


class Guards:
    """When each partition's guard was first seen at which offset."""

    def __init__(self, settings: Settings) -> None:
        url = settings.redis.url
        assert url is not None
        self._redis = Redis.from_url(url.get_secret_value())
        self._prefix = settings.redis.prefix
        self._offsets: dict[str, list[int]] = defaultdict(list)
        self._times: dict[str, list[float]] = defaultdict(list)

    def look(self) -> None:
        """Read them once. Times are wall-clock times, as those of Kafka's records are."""
        namespace: Any = self._redis.get(f"{self._prefix}:current")
        if namespace is None:
            return
        found: Any = self._redis.hgetall(f"{self._prefix}:{namespace.decode()}:guards")
        now = time.time()
        for name, value in found.items():
            offsets, offset = self._offsets[name.decode()], int(value)
            if not offsets or offset > offsets[-1]:
                offsets.append(offset)
                self._times[name.decode()].append(now)

    def counted_at(self, partition: str, offset: int) -> float:
        """When the message at this offset was first seen counted."""
        return self._times[partition][bisect_right(self._offsets[partition], offset)]


def latencies(on: Machine, *, rate: float, seconds: float, warm_up: float, texts: Path | None) -> list[float]:
    """Rising: seconds of each document that is sent after the warm-up, at `rate` documents a second."""
    loaded = on.fresh("latency")
    settings = loaded.settings
    with on.running(loaded, *END_TO_END) as running:
        guards, sender = Guards(settings), Sender(settings, texts)
        for _ in sender.send(round(rate * warm_up), rate=rate):
            guards.look()
        _finish(running, guards, sender.sent)
        began = int(time.time() * 1000) / 1000  # no finer than Kafka's timestamps
        for _ in sender.send(round(rate * seconds), rate=rate):
            guards.look()
        _finish(running, guards, sender.sent)
        sender.close()
    ledger = _ledger(settings)
    assert len(ledger) == sender.sent, f"{len(ledger)} of {sender.sent} documents are recorded"
    return sorted(
        guards.counted_at(place, offset) - received for place, offset, received in ledger if received >= began
    )


def _finish(running: Running, guards: Guards, count: int) -> None:
    """Look on until so many are counted."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    next_check = 0.0
    while True:
        if (now := time.monotonic()) >= next_check:
            if running.documents("record") >= count:
                guards.look()
                return
            if now > deadline:
                raise RuntimeError(f"not all were counted within {_PATIENCE_SECONDS:.0f} s of the last")
            next_check = now + 0.5
        guards.look()
        time.sleep(_POLL_SECONDS)


def _ledger(settings: Settings) -> Sequence[tuple[str, int, float]]:
    connection = psycopg2.connect(connections.postgres_dsn(settings))
    with connection.cursor() as cursor:
        cursor.execute(_LEDGER)
        found: list[tuple[str, int, float]] = cursor.fetchall()
    connection.close()
    return found


def latency_table(taken: Sequence[float], rate: float) -> Table:
    """Quantiles, in milliseconds."""
    table = Table(title=f"From Kafka to the windows at {rate:,.0f} documents/s", title_justify="left")
    for title in ("documents", "p50 ms", "p95 ms", "p99 ms", "max ms", "p99 to reach"):
        table.add_column(title, justify="right")
    quantiles = [f"{taken[min(len(taken) - 1, int(len(taken) * q))] * 1000:,.0f}" for q in (0.5, 0.95, 0.99, 1.0)]
    table.add_row(f"{len(taken):,}", *quantiles, "1,000")
    return table


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.latency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m bench.latency --rate 200 --seconds 120",
    )
    parser.add_argument("--rate", type=float, help="documents a second; without it half of what is measured first")
    parser.add_argument("--seconds", type=float, help="how long documents are sent after the warm-up (default 60)")
    parser.add_argument("--texts", type=Path, help="JSONL with `text`; without it, composed headlines and comments")
    parser.add_argument("--quick", action="store_true", help="a few seconds: shows that it runs, no more")
    arguments = parser.parse_args()
    plan, warm_up, seconds = (QUICK, 5.0, 3.0) if arguments.quick else (FULL, 15.0, 60.0)
    cores = pin()
    log.set_up("WARNING", "text")
    console = Console(stderr=True)
    with machine(console.print) as on:
        rate = arguments.rate or end_to_end(plan, on).rate / 2
        console.print(f"{rate:,.0f} documents a second …")
        taken = latencies(on, rate=rate, seconds=arguments.seconds or seconds, warm_up=warm_up, texts=arguments.texts)
    out = Console(width=100) if not sys.stdout.isatty() else Console()
    out.print(f"{len(cores)} cores of {processor()}", highlight=False)
    out.print(latency_table(taken, rate))


if __name__ == "__main__":
    main()

"""Killed, frozen, flushed, put back: the same sums, the same alerts, and no webhook under a second id."""

import random
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis as redis_client
from support import audit
from support.machine import Machine, write_stream
from support.receiver import WebhookReceiver

from domain.timeline import start_of
from service import connections
from service.demo.compose_sample import HOURS, compose

pytestmark = [pytest.mark.acceptance, pytest.mark.servers, pytest.mark.timeout(900)]

DAYS = 6
SETTLE = "45m"
SEED = 20260302


def stream() -> list[dict[str, object]]:
    """The sample's six hours again and again with other words, one stretch behind the other."""
    rows = []
    for day in range(DAYS):
        for row in compose(seed=day):
            at = datetime.fromisoformat(str(row["published_at"])) + timedelta(hours=HOURS * day)
            rows.append(row | {"id": f"day{day}-{row['id']}", "published_at": at.isoformat()})
    return rows


def flush(machine: Machine) -> None:
    with redis_client.Redis.from_url(connections.redis_url(machine.settings)) as client:
        client.flushall()


def faults(machine: Machine, saved: Path) -> list[tuple[str, Callable[[], None]]]:
    """At least ten, each kind of the operator's nightmares; their order is drawn."""
    kills = [
        (f"{name} killed", lambda name=name: machine.kill(name))
        for name in ("classify", "record", "watch", "redis", "postgres", "kafka", "classify", "record")
    ]
    return [
        *kills,
        ("Redis flushed", lambda: flush(machine)),
        ("Redis put back", lambda: machine.put_redis_back(saved)),
        ("record frozen, woken beside its successor", lambda: machine.freeze_record(8)),
        ("record and Redis killed at once", lambda: machine.kill("record", "redis")),
    ]


def test_the_same_sums_alerts_and_webhooks_whatever_is_killed(tmp_path: Path) -> None:
    rows = stream()
    ids = {str(row["id"]) for row in rows}
    file = write_stream(tmp_path / "stream.jsonl", rows)

    with (
        WebhookReceiver() as calm_receiver,
        Machine(tmp_path / "calm", port=8461, receiver_url=calm_receiver.url) as calm,
    ):
        assert calm.command("feed", str(file), "--speed", "max", "--settle", SETTLE).returncode == 0
        calm.wait_for_the_end(240)
        audit.assert_counted_exactly(calm.settings, ids)
        expected = audit.alerts(calm.settings)
        assert len({row[1] for row in expected}) >= 1
        assert len(expected) >= DAYS, "every stretch has a surge"

    with WebhookReceiver() as receiver, Machine(tmp_path / "hurt", port=8462, receiver_url=receiver.url) as hurt:
        feed = hurt.start("feed", str(file), "--speed", f"{DAYS * HOURS * 3600 / 90:.0f}x", "--settle", SETTLE)
        time.sleep(12)
        saved = tmp_path / "redis-earlier"
        hurt.save_redis(saved)
        todo = faults(hurt, saved)
        rng = random.Random(SEED)
        rng.shuffle(todo)
        for name, fault in todo:
            time.sleep(rng.uniform(2, 6))
            print("fault:", name, flush=True)
            fault()
        assert feed.wait(300) == 0
        hurt.wait_for_the_end(300)
        audit.assert_counted_exactly(hurt.settings, ids)
        assert audit.alerts(hurt.settings) == expected
        assert_each_transition_has_one_id_and_arrived(hurt, receiver)
        assert audit.query(hurt.settings, "SELECT count(*) FROM refusal") == [(0,)]
        listed = hurt.command("dead-letters", "list")
        assert listed.returncode == 0
        assert "model_failed" not in listed.stdout


def assert_each_transition_has_one_id_and_arrived(machine: Machine, receiver: WebhookReceiver) -> None:
    ids_of = defaultdict(set)
    for request in receiver.requests:
        request.verify()
        alert = request.json["data"]["alert"]
        ids_of[alert["rule"], alert["subject"], alert["starts_at"], request.json["type"]].add(request.webhook_id)
    assert all(len(ids) == 1 for ids in ids_of.values()), ids_of
    outcomes = audit.query(machine.settings, "SELECT webhook_id, outcome FROM notification")
    assert {outcome for _, outcome in outcomes} == {"delivered"}
    assert {webhook_id for webhook_id, _ in outcomes} == {one for ids in ids_of.values() for one in ids}
    assert len(outcomes) == 2 * len(audit.alerts(machine.settings)), "each alert fired and resolved"


def test_time_is_event_time(tmp_path: Path) -> None:
    """Two hours of outage make nothing late: lateness is against one's own stream."""
    rows = compose()
    file = write_stream(tmp_path / "stream.jsonl", rows)
    with WebhookReceiver() as receiver, Machine(tmp_path / "machine", port=8463, receiver_url=receiver.url) as machine:
        with machine.supervisor_looks_away():
            machine.kill("classify")
            assert machine.command("feed", str(file), "--speed", "max").returncode == 0
        machine.wait_for_the_end(120)
        assert audit.query(machine.settings, "SELECT count(*) FROM document WHERE late") == [(0,)]
        newest = max(minute for _, minute, _ in audit.rolled_up(machine.settings))
        assert start_of(newest) > datetime.fromisoformat(str(rows[0]["published_at"])) + timedelta(hours=5)

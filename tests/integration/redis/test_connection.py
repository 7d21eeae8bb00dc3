"""How a server's state is told: what to try again, what a person must do, and what never shows."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis as redis_client
from support.builders import at, scored_partition, topic
from support.fake_ledger import FakeLedger, Row
from support.window_worlds import LATENESS, PREFIX, RETENTION

from domain.errors import PermanentError, TemporaryError
from domain.timeline import minute_of
from store.redis.connection import Redis, RedisPolicy
from store.redis.windows import RedisWindows

pytestmark = pytest.mark.servers

PATIENCE = RedisPolicy(connect_timeout=0.5, command_timeout=0.5, retries=1)


@pytest.fixture
def server(fresh_redis: str) -> Iterator[redis_client.Redis]:
    with redis_client.Redis.from_url(fresh_redis) as server:
        yield server


@pytest.fixture
def configured(server: redis_client.Redis) -> Iterator[Callable[[str, str | int], None]]:
    """Sets a configuration parameter, for this test only."""
    before: dict[str, str] = {}

    def configure(name: str, value: str | int) -> None:
        before.setdefault(name, server.config_get(name)[name])
        server.config_set(name, value)

    yield configure
    for name, value in before.items():
        server.config_set(name, value)


def windows_at(url: str) -> RedisWindows:
    ledger = FakeLedger()
    return RedisWindows(
        Redis(url, policy=PATIENCE), prefix=PREFIX, source=ledger, retention=RETENTION, lateness=LATENESS
    )


def test_it_says_what_the_server_is(fresh_redis: str) -> None:
    facts = Redis(fresh_redis).inspect()

    assert facts.maxmemory_policy == "noeviction"
    assert facts.unfit() == ()
    assert facts.used_memory > 0


def test_a_server_that_evicts_is_unfit(fresh_redis: str, configured: Callable[[str, str | int], None]) -> None:
    configured("maxmemory-policy", "allkeys-lru")

    assert [reason.value for reason in Redis(fresh_redis).inspect().unfit()] == ["evicts"]


def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        port = taken.getsockname()[1]
        with pytest.raises(TemporaryError, match=f"redis://127.0.0.1:{port}/0 can't be reached"):
            Redis(f"redis://:secret@127.0.0.1:{port}/0", policy=PATIENCE).ping()


def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        started = time.monotonic()
        with pytest.raises(TemporaryError, match="can't be reached"):
            Redis(f"redis://127.0.0.1:{mute.getsockname()[1]}/0", policy=PATIENCE).ping()
    assert time.monotonic() - started < 5


def test_a_wrong_password_is_for_a_person_and_is_not_shown(fresh_redis: str) -> None:
    parts = urlsplit(fresh_redis)
    wrong = urlunsplit(parts._replace(netloc=f"nobody:open-sesame@{parts.hostname}:{parts.port}"))
    redis = Redis(wrong, policy=PATIENCE)

    with pytest.raises(PermanentError, match="check user, password") as raised:
        redis.ping()
    assert "open-sesame" not in f"{raised.value!r} {raised.value} {raised.value.__cause__!r} {redis!r}"


def test_a_full_server_stops_the_flow_and_says_what_to_do(
    fresh_redis: str, configured: Callable[[str, str | int], None], server: redis_client.Redis
) -> None:
    windows = windows_at(fresh_redis)
    windows.rebuild()
    ledger = FakeLedger()
    ledger.append(scored_partition(), [Row(id="a", subjects=(topic("Oil"),), minute=minute_of(at()))])
    before = server.dbsize()

    configured("maxmemory", 1)
    with pytest.raises(TemporaryError, match="full: raise maxmemory"):
        windows.apply(ledger.changes(scored_partition(), 0))
    assert server.dbsize() == before, "nothing was half done"
    assert windows.guard(scored_partition()) is None

    configured("maxmemory", 0)
    assert windows.apply(ledger.changes(scored_partition(), 0)) is None


def test_a_replica_is_tried_again_later(fresh_redis: str, server: redis_client.Redis) -> None:
    windows = windows_at(fresh_redis)
    windows.rebuild()
    server.config_set("replica-serve-stale-data", "yes")
    server.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(TemporaryError, match="read-only replica"):
            windows.apply(FakeLedger().changes(scored_partition(), 0))
        assert Redis(fresh_redis).inspect().replica
    finally:
        server.replicaof("NO", "ONE")


def test_scripts_that_the_server_forgot_are_loaded_again(fresh_redis: str, server: redis_client.Redis) -> None:
    windows = windows_at(fresh_redis)
    windows.rebuild()
    server.script_flush()

    assert windows.guard(scored_partition()) is None


def test_a_connection_that_died_is_replaced_without_the_caller_noticing(
    fresh_redis: str, server: redis_client.Redis
) -> None:
    windows = windows_at(fresh_redis)
    windows.rebuild()
    server.client_kill_filter(_type="normal", skipme=True)

    assert windows.guard(scored_partition()) is None


def test_a_user_without_permission_is_for_a_person(fresh_redis: str, server: redis_client.Redis) -> None:
    server.acl_setuser("reader", enabled=True, passwords=["+pw"], commands=["+ping", "+client"])
    try:
        parts = urlsplit(fresh_redis)
        limited = Redis(urlunsplit(parts._replace(netloc=f"reader:pw@{parts.hostname}:{parts.port}")), policy=PATIENCE)
        limited.ping()
        with pytest.raises(PermanentError, match="permissions"):
            limited.script("guard")("prefix", "partition")
    finally:
        server.acl_deluser("reader")

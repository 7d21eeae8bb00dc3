"""What of a server's INFO makes it unfit."""

from __future__ import annotations

from typing import Any

import pytest

from store.redis.facts import FIXES, Unfit, facts_of

FIT: dict[str, Any] = {
    "redis_version": "7.2.4",
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
    "used_memory": 1_000_000,
    "cluster_enabled": 0,
    "role": "master",
    "aof_enabled": 1,
}


def test_a_fit_server_is_fit() -> None:
    facts = facts_of(FIT)

    assert facts.unfit() == ()
    assert (facts.server, facts.version) == ("redis", "7.2.4")
    assert facts.append_only


def test_a_valkey_is_known_by_its_own_version() -> None:
    facts = facts_of({**FIT, "valkey_version": "9.1.2"})

    assert (facts.server, facts.version, facts.compatible_version) == ("valkey", "9.1.2", "7.2.4")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"redis_version": "6.2.14"}, Unfit.TOO_OLD),
        ({"maxmemory_policy": "allkeys-lru"}, Unfit.EVICTS),
        ({"maxmemory_policy": "volatile-ttl"}, Unfit.EVICTS),
        ({"cluster_enabled": 1}, Unfit.CLUSTER),
        ({"role": "slave"}, Unfit.REPLICA),
    ],
)
def test_each_fault_has_its_name_and_its_fix(change: dict[str, Any], reason: Unfit) -> None:
    assert facts_of({**FIT, **change}).unfit() == (reason,)
    assert FIXES[reason]

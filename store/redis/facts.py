"""What a Redis server is and how it is set up, and what of that is unfit for the windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MINIMUM_VERSION = (7, 0)
"""Since 7.0 an error inside a script keeps its code (OOM, READONLY), by which errors are translated."""


class Unfit(StrEnum):
    """Why a server can't hold the windows."""

    TOO_OLD = "too_old"
    EVICTS = "evicts"
    CLUSTER = "cluster"
    REPLICA = "replica"


FIXES = {
    Unfit.TOO_OLD: f"use Redis {'.'.join(map(str, MINIMUM_VERSION))} or newer, or Valkey",
    Unfit.EVICTS: "CONFIG SET maxmemory-policy noeviction: an evicted guard or bucket would falsify the windows",
    Unfit.CLUSTER: "use a server without cluster mode: the windows are changed by scripts over many keys",
    Unfit.REPLICA: "use the address of the primary: a replica takes no writes",
}


@dataclass(frozen=True, kw_only=True)
class RedisFacts:
    """One server, at one moment. Sizes in bytes; `maxmemory` 0 means without limit."""

    server: str
    """`redis` or `valkey`."""
    version: str
    """The server's own version."""
    compatible_version: str
    """The version of Redis that it says it is compatible with."""
    maxmemory: int
    maxmemory_policy: str
    used_memory: int
    cluster: bool
    replica: bool
    append_only: bool
    """Whether writes are logged to disk. Without it a crash goes back to the last snapshot, or to nothing: the windows
    are then caught up, or rebuilt, from the history."""

    def unfit(self) -> tuple[Unfit, ...]:
        """What has to be changed before it can hold the windows; FIXES says how."""
        old = tuple(int(part) for part in self.compatible_version.split(".")[:2]) < MINIMUM_VERSION
        checks = {
            Unfit.TOO_OLD: old,
            Unfit.EVICTS: self.maxmemory_policy != "noeviction",
            Unfit.CLUSTER: self.cluster,
            Unfit.REPLICA: self.replica,
        }
        return tuple(reason for reason, found in checks.items() if found)


def facts_of(info: Mapping[str, Any]) -> RedisFacts:
    """Read the reply of INFO (which, unlike CONFIG, managed servers allow too)."""
    valkey = info.get("valkey_version")
    return RedisFacts(
        server="valkey" if valkey else "redis",
        version=str(valkey or info["redis_version"]),
        compatible_version=str(info["redis_version"]),
        maxmemory=int(info.get("maxmemory", 0)),
        maxmemory_policy=str(info.get("maxmemory_policy", "unknown")),
        used_memory=int(info.get("used_memory", 0)),
        cluster=bool(info.get("cluster_enabled", 0)),
        replica=info.get("role") not in (None, "master"),
        append_only=bool(info.get("aof_enabled", 0)),
    )

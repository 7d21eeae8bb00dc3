"""Copies of a whole Redis database, to put it back to an older state as a crash or a fail-over does."""

from __future__ import annotations

import redis


def saved(server: redis.Redis) -> dict[bytes, bytes]:
    """Every key with its value, as of one instant (nothing else may be writing)."""
    keys = list(server.scan_iter(count=1000))
    pipeline = server.pipeline()
    for key in keys:
        pipeline.dump(key)
    return {key: value for key, value in zip(keys, pipeline.execute(), strict=True) if value is not None}


def put_back(server: redis.Redis, copy: dict[bytes, bytes]) -> None:
    """Make the database what it was."""
    pipeline = server.pipeline()
    pipeline.flushdb()
    for key, value in copy.items():
        pipeline.restore(key, 0, value)
    pipeline.execute()

"""Types of settings' values: what is allowed, in words that say what would be."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from service.durations import Duration

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(\d{1,5})")


def _bootstrap_servers(value: str) -> str:
    servers = [server.strip() for server in value.split(",")]
    for server in servers:
        match = _HOST_PORT.fullmatch(server)
        if match is None or not 0 < int(match[2]) < 65536:
            raise ValueError("must be host:port, several separated by commas")
    return ",".join(servers)


def _postgres_dsn(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a URL such as postgresql://user:password@host:5432/database?sslmode=verify-full")
    _parts(text)
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must be a URL such as redis://user:password@host:6379/0, rediss://… (TLS) or unix://path")
    _parts(text)
    return value


def _parts(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a well-formed URL (a password with / ? # @ : % must be percent-encoded)") from None


def _whole_minutes(value: timedelta) -> timedelta:
    if value % timedelta(minutes=1):
        raise ValueError("must be whole minutes")
    return value


BootstrapServers = Annotated[str, AfterValidator(_bootstrap_servers)]
PostgresDsn = Annotated[SecretStr, AfterValidator(_postgres_dsn)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
KeyPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Positive = Annotated[Duration, Field(gt=timedelta(0))]
Minutes = Annotated[Duration, AfterValidator(_whole_minutes), Field(ge=timedelta(minutes=1))]
MinutesOrNone = Annotated[Duration, AfterValidator(_whole_minutes)]
Pattern = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]

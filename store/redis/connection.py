"""One Redis (or Valkey) server: how it is reached, how its errors read, and what it is.

Everything goes to the server as a Lua script, so that each step is atomic. Scripts are called by their hash and loaded
again when the server does not know them (it was restarted, or another one took over).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from domain.errors import PermanentError, TemporaryError
from store.redis.facts import RedisFacts, facts_of

SCHEMES = ("redis", "rediss", "unix")

Script = Callable[..., Any]
"""Called with the script's arguments (str, bytes or int); returns its reply, texts as bytes."""


@dataclass(frozen=True, kw_only=True)
class RedisPolicy:
    """How patient a connection is. Times in seconds."""

    connect_timeout: float = 5.0
    command_timeout: float = 20.0
    """Longer than the longest script runs, shorter than a batch may take."""
    health_check_interval: float = 15.0
    """A connection that was idle for longer is tried with a PING before it is used."""
    retries: int = 2
    """How often a command is sent again on a fresh connection when the old one turns out to be dead. Every script of
    ours may be sent twice: it compares before it changes."""


class Redis:
    """A connection pool to one server. Thread-safe.

    Every call raises TemporaryError while the server can't be reached, is loading, is a replica or is full, and
    PermanentError when it refuses us.
    """

    def __init__(self, url: str, *, policy: RedisPolicy | None = None, client_name: str = "groundswell") -> None:
        """`url`: `redis://`, `rediss://` (TLS; `?ssl_ca_certs=` and the like) or `unix://`. Nothing is connected yet.

        Raises PermanentError when the url can't be read.
        """
        policy = policy or RedisPolicy()
        self.address = _address(url)
        """Where the server is, without user or password."""
        try:
            pool = redis.ConnectionPool.from_url(
                url,
                socket_connect_timeout=policy.connect_timeout,
                socket_timeout=policy.command_timeout,
                **({} if url.startswith("unix") else {"socket_keepalive": True}),
                health_check_interval=policy.health_check_interval,
                client_name=client_name,
                retry=Retry(
                    ExponentialWithJitterBackoff(base=0.05, cap=1.0),
                    policy.retries,
                    supported_errors=(RedisConnectionError,),
                ),
            )
            # an option that does not exist would otherwise show at the first command
            pool.connection_class(**pool.connection_kwargs)
        except (ValueError, TypeError) as error:
            # the cause is left out: it may quote a part of the url, and that part may be the password
            raise PermanentError(f"the Redis url ({self.address}) can't be used: {type(error).__name__}") from None
        self._client = redis.Redis(connection_pool=pool)

    def __repr__(self) -> str:
        return f"Redis({self.address!r})"

    def script(self, name: str) -> Script:
        """The script `lua/{name}.lua`, with what all of them share before it."""
        script = self._client.register_script(_source(name))

        def run(*arguments: str | bytes | int) -> Any:
            with self._translated():
                return script(args=arguments)

        return run

    def ping(self) -> None:
        """Raise unless the server answers."""
        with self._translated():
            self._client.ping()

    def inspect(self) -> RedisFacts:
        """What the server is and how it is set up."""
        with self._translated():
            return facts_of(self._client.info("everything"))

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
        self._client.connection_pool.disconnect()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (
            AuthenticationError,
            AuthenticationWrongNumberOfArgsError,
            AuthorizationError,
            NoPermissionError,
        ) as error:
            raise PermanentError(
                f"Redis at {self.address} refuses us ({error}): check user, password and permissions in its url"
            ) from error
        except BusyLoadingError as error:
            raise TemporaryError(f"Redis at {self.address} is still loading its data", delay=1.0) from error
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise TemporaryError(f"Redis at {self.address} can't be reached: {error}") from error
        except OutOfMemoryError as error:
            raise TemporaryError(
                f"Redis at {self.address} is full: raise maxmemory, or shorten the retention of the windows", delay=5.0
            ) from error
        except ReadOnlyError as error:
            # the pool would go on talking to the demoted server: new connections may find its successor
            self._client.connection_pool.disconnect()
            raise TemporaryError(f"Redis at {self.address} is a read-only replica", delay=1.0) from error
        except (ClusterError, MovedError) as error:
            raise PermanentError(f"Redis at {self.address} is a cluster: use a server without cluster mode") from error
        except RedisError as error:
            raise _translate_script_error(self.address, error) from error


def _translate_script_error(address: str, error: RedisError) -> TemporaryError | PermanentError:
    text = str(error)
    if text.startswith(("MISCONF", "NOREPLICAS", "BUSY", "UNKILLABLE")):
        return TemporaryError(f"Redis at {address} accepts no writes for now: {text}", delay=1.0)
    return PermanentError(f"Redis at {address} refused a command: {text}")


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise PermanentError("the Redis url can't be read: write redis://HOST:PORT/DB") from None
    if parts.scheme not in SCHEMES:
        raise PermanentError("the Redis url must begin with redis://, rediss:// or unix://")
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    return f"{parts.scheme}://{host or 'localhost'}:{port or 6379}{parts.path}"


@cache
def _source(name: str) -> str:
    folder = Path(__file__).parent / "lua"
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))

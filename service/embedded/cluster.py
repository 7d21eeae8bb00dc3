"""The embedded servers that are asked for, as one: started together, found at their addresses, stopped together."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from domain.errors import PermanentError
from service.embedded.folder import DataFolder
from service.embedded.kafka import KafkaAddress, KafkaServer
from service.embedded.postgres import PostgresServer
from service.embedded.server import EmbeddedServer, Progress
from service.embedded.valkey import ValkeyServer


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the servers are; None for one that was not asked for. The DSN and the URL hold passwords."""

    kafka: KafkaAddress | None = None
    postgres_dsn: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)


class EmbeddedServers:
    """Runs servers on a data folder, from `start` (or `with`) to `stop`, and never beyond the life of this process.

    `start` and `restart` belong to the main thread. `on_progress` gets one readable line at a time, in that thread.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        kafka: bool = True,
        postgres: bool = True,
        redis: bool = True,
        on_progress: Progress = lambda line: None,
        start_timeout: float = 60.0,
        kafka_open_to_all: bool = False,
        kafka_jars: Path | None = None,
        maven_repository: str | None = None,
    ) -> None:
        if sys.platform != "linux":
            raise PermanentError("embedded servers run on Linux only: give the addresses of servers that run already")
        self._folder = DataFolder(data_dir)
        self._wanted = (kafka, postgres, redis)
        self._on_progress = on_progress
        self._start_timeout = start_timeout
        self._kafka_options = (kafka_open_to_all, kafka_jars, maven_repository)
        self._servers: dict[str, EmbeddedServer] = {}
        self._threads: list[threading.Thread] = []

    @property
    def data_dir(self) -> Path:
        return self._folder.path

    @property
    def servers(self) -> Mapping[str, EmbeddedServer]:
        """The servers by name: `kafka`, `postgres`, `redis`."""
        return self._servers

    @property
    def addresses(self) -> Addresses:
        kafka, postgres, redis = (self._servers.get(name) for name in ("kafka", "postgres", "redis"))
        return Addresses(
            kafka=kafka.address if isinstance(kafka, KafkaServer) else None,
            postgres_dsn=postgres.dsn if isinstance(postgres, PostgresServer) else None,
            redis_url=redis.url if isinstance(redis, ValkeyServer) else None,
        )

    def start(self) -> None:
        """Start them all at once and wait until all serve.

        Raises DataFolderInUse, FolderUnusable, NotOurFolder, KafkaUnavailable or ServerFailed; nothing is left running
        then.
        """
        self._folder.open()
        try:
            self._servers = {server.name: server for server in self._make()}
            for server in self._servers.values():
                server.assign_ports()
            self._bring_up(tuple(self._servers.values()))
        except Exception:
            self._stop_servers()
            # Another start on this folder may follow, and must not meet what is still being prepared.
            for thread in self._threads:
                thread.join()
            self._folder.close()
            raise
        except BaseException:
            self.stop()
            raise

    def restart(self, name: str) -> None:
        """Start a server again that has ended, on its port and its data, and wait until it serves.

        Raises ServerFailed.
        """
        server = self._servers[name]
        server.start()
        server.wait_ready(self._start_timeout)

    def stop(self) -> None:
        """Stop them all gracefully, and by force what does not end in time."""
        self._stop_servers()
        self._folder.close()

    def _stop_servers(self) -> None:
        for server in self._servers.values():
            server.ask_to_stop()
        for server in self._servers.values():
            server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _make(self) -> list[EmbeddedServer]:
        kafka, postgres, redis = self._wanted
        open_to_all, cache, repository = self._kafka_options
        servers: list[EmbeddedServer] = []
        if kafka:
            servers.append(KafkaServer(self._folder, open_to_all=open_to_all, cache=cache, repository=repository))
        if postgres:
            servers.append(PostgresServer(self._folder))
        if redis:
            servers.append(ValkeyServer(self._folder))
        return servers

    def _bring_up(self, servers: Sequence[EmbeddedServer]) -> None:
        """Each is prepared and waited for in a thread of its own; this one starts them, for they die with the thread
        that starts them."""
        todo: SimpleQueue[Callable[[], None]] = SimpleQueue()
        waiting = {server.name for server in servers}
        self._threads.clear()
        began = time.monotonic()

        def in_background(work: Callable[[], None], then: Callable[[], None]) -> None:
            def body() -> None:
                try:
                    work()
                except Exception as error:
                    todo.put(partial(_raise, error))
                else:
                    todo.put(then)

            thread = threading.Thread(target=body, daemon=True)
            self._threads.append(thread)
            thread.start()

        def start(server: EmbeddedServer) -> None:
            server.start()
            in_background(partial(server.wait_ready, self._start_timeout), partial(greet, server))

        def greet(server: EmbeddedServer) -> None:
            waiting.remove(server.name)
            self._on_progress(
                f"{server.title} serves on 127.0.0.1:{server.ports[0]} after {time.monotonic() - began:.1f} s"
            )

        def relay(line: str) -> None:
            todo.put(partial(self._on_progress, line))

        for server in servers:
            in_background(partial(server.prepare, relay), partial(start, server))
        while waiting:
            todo.get()()


def _raise(error: Exception) -> None:
    raise error

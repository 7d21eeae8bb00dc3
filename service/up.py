"""Everything on one machine: our own servers where none are given, then every process under one supervisor."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from domain.errors import TemporaryError
from service import connections, log
from service.discovery import announced
from service.embedded import Addresses, EmbeddedServers
from service.entity_names import read_names
from service.http.listen import check_free
from service.metrics import forget_process, render_shared
from service.scratch import scratch_folder
from service.settings import COMMAND_LINE, Loaded, Settings, child_environment
from service.supervise import ChildProcess, Supervisor

Say = Callable[[str], None]
T = TypeVar("T")

PROCESSES = {
    "classify": ("worker", "--stage", "classify"),
    "record": ("worker", "--stage", "record"),
    "watch": ("watch",),
    "serve": ("serve",),
}
"""All processes of a machine that runs everything: name and command."""

_PATIENCE = 60.0
"""Seconds that servers of others get to become reachable at the start."""


def run_everything(loaded: Loaded, *, say: Say) -> None:
    """Servers, schema, topics, worker stages, watcher, API; until SIGTERM or SIGINT. What ends is started again.

    Raises, with nothing started, PermanentError when the API's port is taken, and InvalidInput when the file of names
    is not as it should be."""
    check_free(loaded.settings.http.host, loaded.settings.http.port, "http")
    read_names(loaded.settings.classify.names_file)
    with (
        ready_servers(loaded, say=say) as (ready, servers),
        scratch_folder() as metrics,
    ):
        children = [child(name, command, ready, metrics) for name, command in PROCESSES.items()]
        http = ready.settings.http
        say(f"Everything is started; the API is at http://{http.host}:{http.port}/docs. Ctrl-C ends it.")
        if servers is not None and loaded.origins.get("data_dir") == COMMAND_LINE:
            say(f"Elsewhere, GROUNDSWELL_DATA_DIR={servers.data_dir} leads `groundswell feed` and the others to it.")
        Supervisor(children, servers=tuple(servers.servers.values()) if servers else (), say=say).run()
        say("Everything has ended.")


def run_worker_stages(loaded: Loaded, *, say: Say) -> None:
    """Both stages of the worker, each a process; until SIGTERM or SIGINT. What ends is started again."""
    settings = loaded.settings
    log.set_up(settings.log.level, settings.log.format)
    with ExitStack() as stack:
        metrics = stack.enter_context(scratch_folder())
        children = [child(stage, ("worker", "--stage", stage), loaded, metrics) for stage in ("classify", "record")]
        if settings.metrics.port:
            from service import readiness
            from service.http.app import create_probe_app
            from service.http.serve import served

            work = {child.name: partial(_running, child) for child in children}
            probes = readiness.probes(settings, lambda: render_shared(metrics), ("kafka", "postgres", "redis"), work)
            app = create_probe_app(probes)
            stack.enter_context(served(app, host=settings.metrics.host, port=settings.metrics.port))
        Supervisor(children, say=say).run()


@contextmanager
def ready_servers(loaded: Loaded, *, say: Say) -> Iterator[tuple[Loaded, EmbeddedServers | None]]:
    """The settings with an address for every server, ours where none was given, with schema and topics in place.

    While the block runs, commands in other terminals find our own servers (service.discovery).
    """
    settings = loaded.settings
    missing = {
        "kafka": settings.kafka.bootstrap_servers is None,
        "postgres": settings.postgres.dsn is None,
        "redis": settings.redis.url is None,
    }
    with ExitStack() as stack:
        servers = None
        if any(missing.values()):
            servers = EmbeddedServers(
                settings.data_dir,
                kafka=missing["kafka"],
                postgres=missing["postgres"],
                redis=missing["redis"],
                on_progress=say,
            )
            stack.enter_context(servers)
            found = settings_of(servers.addresses)
            loaded = loaded.over(found, "our own servers")
            stack.enter_context(announced(servers.data_dir, found))
        prepare(loaded.settings, say=say)
        yield loaded, servers


def prepare(settings: Settings, *, say: Say) -> None:
    """Bring the schema up to date and make the topics; servers that are just starting are waited for."""
    from store.postgres import migrate
    from stream.admin import KafkaAdmin
    from stream.topics import create_topics

    revision = _patiently(lambda: migrate.upgrade(connections.postgres_dsn(settings)), say)
    with KafkaAdmin(connections.kafka(settings)) as admin:
        _patiently(lambda: create_topics(admin, connections.topic_plans(settings)), say)
    say(f"The schema is at {revision}, the topics are there")


def settings_of(addresses: Addresses) -> dict[str, str]:
    """Our own servers' addresses as settings, by dotted key."""
    found: dict[str, str | None] = {"postgres.dsn": addresses.postgres_dsn, "redis.url": addresses.redis_url}
    if kafka := addresses.kafka:
        found |= {
            "kafka.bootstrap_servers": kafka.bootstrap_servers,
            "kafka.security_protocol": kafka.security_protocol,
            "kafka.sasl_mechanism": kafka.sasl_mechanism,
            "kafka.sasl_username": kafka.sasl_username,
            "kafka.sasl_password": kafka.sasl_password,
        }
    return {key: value for key, value in found.items() if value is not None}


def child(
    name: str, command: tuple[str, ...], loaded: Loaded, metrics: Path, *, log: Path | None = None
) -> ChildProcess:
    """One of our own commands as a child process, with these settings and metrics shared in a folder. It listens on
    no port for probes: whoever supervises it does. What it says goes to the log, or to where we say it."""
    config = () if loaded.file is None else ("--config", str(loaded.file.absolute()))
    return _MeasuredChild(
        name,
        (sys.executable, "-m", "service.cli", *config, *command),
        environment=child_environment(loaded.over({"metrics.port": 0}, "supervisor"), metrics=metrics),
        metrics=metrics,
        log=log,
    )


class _MeasuredChild(ChildProcess):
    """A child whose gauges are forgotten when it ends."""

    def __init__(
        self, name: str, arguments: tuple[str, ...], *, environment: dict[str, str], metrics: Path, log: Path | None
    ) -> None:
        super().__init__(name, arguments, environment=environment, log=log)
        self._metrics = metrics
        self._measured: int | None = None

    def start(self) -> None:
        super().start()
        self._measured = self.pid

    def poll(self) -> int | None:
        status = super().poll()
        if status is not None and self._measured is not None:
            forget_process(self._measured, self._metrics)
            self._measured = None
        return status


def _running(child: ChildProcess) -> str:
    if child.pid is None:
        raise TemporaryError("it has ended and will be started again; its log says why")
    return f"runs as process {child.pid}"


def _patiently(action: Callable[[], T], say: Say) -> T:
    deadline = time.monotonic() + _PATIENCE
    said = False
    while True:
        try:
            return action()
        except TemporaryError as error:
            if time.monotonic() > deadline:
                raise
            if not said:
                say(f"Waiting: {error}")
            said = True
            time.sleep(1)

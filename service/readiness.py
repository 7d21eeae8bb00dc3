"""Is everything there that a process depends on, and does it do its work: what /readyz answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from domain.errors import PermanentError
from service import connections
from service.http.parts import Check, Probes
from service.settings import Settings

Probe = Callable[[], str]
"""As in service.http.parts.Check."""


def probes(
    settings: Settings,
    render_metrics: Callable[[], bytes],
    dependencies: Sequence[str],
    work: Mapping[str, Probe] | None = None,
) -> Probes:
    """/livez, /readyz and /metrics of a process that depends on these: `kafka`, `postgres`, `redis`. `work`: what it
    does itself, by name."""
    makers = {"kafka": _kafka, "postgres": _postgres, "redis": _redis}
    asked = {name: makers[name](settings) for name in dependencies} | dict(work or {})
    checks = [Check(name=name, probe=probe) for name, probe in asked.items()]
    return Probes(checks=checks, render_metrics=render_metrics)


def _kafka(settings: Settings) -> Probe:
    from stream.admin import KafkaAdmin
    from stream.topics import describe_topics

    admin = KafkaAdmin(connections.kafka(settings))

    def probe() -> str:
        described = describe_topics(admin, connections.topic_names(settings))
        if missing := [topic.name for topic in described if not topic.exists]:
            raise PermanentError(f"without topics {', '.join(missing)}: make them with `groundswell topics create`")
        return f"{admin.connection.bootstrap_servers}, all topics"

    return probe


def _postgres(settings: Settings) -> Probe:
    from store.postgres import migrate

    dsn = connections.postgres_dsn(settings)

    def probe() -> str:
        revision, needed = migrate.current(dsn), migrate.head()
        if revision != needed:
            raise PermanentError(
                f"the schema is at {revision or 'no revision'}, {needed} is needed: run `groundswell db upgrade`"
            )
        return f"schema {revision}"

    return probe


def _redis(settings: Settings) -> Probe:
    server = connections.redis(settings, "ready")

    def probe() -> str:
        server.ping()
        return server.address

    return probe

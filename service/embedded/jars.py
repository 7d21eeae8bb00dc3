"""Gets Apache Kafka's jars: the very ones that `kafka.lock` names, into a cache that all data folders share."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from jgo.maven import MavenContext, PythonResolver

from service.embedded.errors import KafkaUnavailable
from service.scratch import scratch_folder

KAFKA_VERSION = "4.1.1"
KAFKA_TITLE = f"Apache Kafka {KAFKA_VERSION}"
LOCK = Path(__file__).with_name("kafka.lock")

_PARALLEL = 8


@dataclass(frozen=True, kw_only=True)
class Jar:
    """A jar by its Maven coordinates, and what its bytes must hash to."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def default_cache() -> Path:
    """Where the jars are kept: the user's cache folder."""
    return platformdirs.user_cache_path("groundswell") / f"kafka-{KAFKA_VERSION}"


def read_lock(lock: Path = LOCK) -> tuple[Jar, ...]:
    """The jars of the classpath."""
    lines = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return tuple(
        Jar(group=group, artifact=artifact, version=version, sha256=sha256)
        for coordinates, sha256 in lines
        for group, artifact, version in [coordinates.split(":")]
    )


def missing(cache: Path, jars: Sequence[Jar]) -> tuple[Jar, ...]:
    """The jars that the cache lacks."""
    return tuple(jar for jar in jars if not (cache / jar.file_name).exists())


def fetch(cache: Path, jars: Sequence[Jar], *, repository: str | None = None) -> None:
    """Download jars into the cache; each appears there whole and with the right hash, or not at all.

    `repository` is the URL of a mirror; None means Maven Central. Raises KafkaUnavailable when one can't be had.
    """
    cache.mkdir(parents=True, exist_ok=True)
    remaining = deque(jars)
    errors: list[Exception] = []
    with scratch_folder() as scratch:
        remote = None if repository is None else {"mirror": repository.rstrip("/")}
        context = MavenContext(resolver=PythonResolver(), repo_cache=scratch, local_repos=[], remote_repos=remote)

        def work() -> None:
            while remaining and not errors:
                try:
                    _fetch_one(context, remaining.popleft(), cache)
                except IndexError:
                    return
                except (RuntimeError, OSError) as error:
                    errors.append(error)

        # Not a pool: Python waits for the work of a pool when it exits, also after Ctrl-C.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(_PARALLEL)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise KafkaUnavailable(
            f"{KAFKA_TITLE}'s jars can't be downloaded ({_brief(errors[0])}): check the network and the proxy, "
            "name a mirror of Maven Central, or give the address of a Kafka that runs already"
        ) from errors[0]


def _fetch_one(context: MavenContext, jar: Jar, cache: Path) -> None:
    path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != jar.sha256:
        raise RuntimeError(f"{jar.file_name} is not the file expected: its SHA-256 is {digest}")
    part = cache / f".{jar.file_name}.{os.getpid()}"
    part.write_bytes(content)
    part.replace(cache / jar.file_name)


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"

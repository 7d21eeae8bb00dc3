"""Prints a new `kafka.lock`: what Kafka's classpath needs today, as Maven would resolve it. For whoever upgrades Kafka.

python -m service.embedded.lock_jars 4.1.1 > service/embedded/kafka.lock
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext, PythonResolver

SLF4J_SIMPLE = "1.7.36"
"""The binding's version must be that of the slf4j-api that Kafka depends on."""


def lock(kafka_version: str) -> str:
    """The text of the lock file. Downloads every jar."""
    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(resolver=PythonResolver(), repo_cache=Path(scratch), local_repos=[])
        wanted = [
            context.create_dependency(f"org.apache.kafka:kafka_2.13:{kafka_version}"),
            context.create_dependency(f"org.slf4j:slf4j-simple:{SLF4J_SIMPLE}"),
        ]
        inputs, transitive = context.resolver.resolve(wanted)
        lines = sorted(
            f"{artifact.groupId}:{artifact.artifactId}:{artifact.version} "
            + hashlib.sha256(artifact.resolve().read_bytes()).hexdigest()
            for artifact in (dependency.artifact for dependency in [*inputs, *transitive])
        )
    header = (
        f"# Apache Kafka {kafka_version} with all that its classpath needs, and a binding for slf4j (without one the\n"
        "# broker logs nothing). group:artifact:version sha256. Made by: python -m service.embedded.lock_jars\n"
    )
    return header + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(lock(sys.argv[1]))

"""Kafka's jars are the very ones that the lock file names, or none."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from domain.errors import PermanentError
from service.embedded import EmbeddedServers, KafkaUnavailable
from service.embedded.jars import KAFKA_VERSION, Jar, fetch, missing, read_lock


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A Maven repository: its folder, and its address."""
    folder = tmp_path / "repository"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def publish(folder: Path, artifact: str, content: bytes) -> Jar:
    place = folder / "org" / "example" / artifact / "1.0"
    place.mkdir(parents=True)
    (place / f"{artifact}-1.0.jar").write_bytes(content)
    return Jar(group="org.example", artifact=artifact, version="1.0", sha256=hashlib.sha256(content).hexdigest())


def test_the_lock_names_kafka_and_a_binding_for_its_log() -> None:
    jars = read_lock()
    versions = {jar.artifact: jar.version for jar in jars}
    assert versions["kafka_2.13"] == versions["kafka-clients"] == KAFKA_VERSION
    assert versions["slf4j-simple"] == versions["slf4j-api"]
    assert len({jar.file_name for jar in jars}) == len(jars) == 46
    assert all(len(jar.sha256) == 64 for jar in jars)


def test_jars_are_fetched_once(repository: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = repository
    jars = [publish(folder, f"part{number}", b"content %d" % number) for number in range(20)]
    cache = tmp_path / "cache"
    assert missing(cache, jars) == tuple(jars)
    fetch(cache, jars, repository=address)
    assert missing(cache, jars) == ()
    assert sorted(file.name for file in cache.iterdir()) == sorted(jar.file_name for jar in jars)
    assert (cache / "part7-1.0.jar").read_bytes() == b"content 7"


def test_a_jar_with_other_bytes_is_refused(repository: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = repository
    jar = publish(folder, "part", b"what was locked")
    (folder / "org" / "example" / "part" / "1.0" / "part-1.0.jar").write_bytes(b"something else")
    with pytest.raises(KafkaUnavailable, match="is not the file expected"):
        fetch(tmp_path / "cache", [jar], repository=address)
    assert missing(tmp_path / "cache", [jar]) == (jar,)


def test_a_repository_that_lacks_a_jar_or_is_not_there_is_an_error_with_the_fix(
    repository: tuple[Path, str], tmp_path: Path
) -> None:
    _, address = repository
    jar = Jar(group="org.example", artifact="part", version="1.0", sha256="0" * 64)
    for where in (address, "http://127.0.0.1:9"):
        with pytest.raises(KafkaUnavailable, match="give the address of a Kafka that runs already") as caught:
            fetch(tmp_path / "cache", [jar], repository=where)
        assert isinstance(caught.value, PermanentError)
        assert "\n" not in str(caught.value)


def test_without_jars_nothing_is_left_running_and_the_others_can_start_on_the_same_folder(tmp_path: Path) -> None:
    said: list[str] = []
    nowhere = EmbeddedServers(
        tmp_path / "data",
        kafka_jars=tmp_path / "cache",
        maven_repository="http://127.0.0.1:9",
        postgres=False,
        on_progress=said.append,
    )
    with pytest.raises(KafkaUnavailable):
        nowhere.start()
    assert all(server.pid is None for server in nowhere.servers.values())
    assert f"Downloading Apache Kafka {KAFKA_VERSION} (once, 44 MB) …" in said
    with EmbeddedServers(tmp_path / "data", kafka=False, postgres=False) as servers:
        assert servers.servers["redis"].pid is not None

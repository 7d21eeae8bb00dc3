"""`groundswell up`, as people start it: everything on one machine, and what ends is started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.servers

DEADLINE = 90.0
"""Seconds for anything to happen: the machine may be busy."""


@dataclass
class Machine:
    """One `groundswell up`, and other commands in the same environment."""

    folder: Path
    environment: dict[str, str]
    port: int

    @property
    def said(self) -> str:
        """All that it has printed."""
        return (self.folder / "up.log").read_text()

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "up.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "service.cli", "up"],
                env=self.environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service.cli", *arguments],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def get(self, path: str) -> Any:
        """JSON from the API; None while it does not answer or is not ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def until(self, what: str, happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not happened():
            if time.monotonic() > deadline:
                pytest.fail(f"{what} did not happen within {DEADLINE:.0f} s; up said:\n{self.said[-5000:]}")
            time.sleep(0.2)


@pytest.fixture
def machine(
    kafka_bootstrap: str, fresh_database: str, fresh_redis: str, unique_topic: Callable[[str], str], tmp_path: Path
) -> Machine:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = {
        "GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "GROUNDSWELL_POSTGRES_DSN": fresh_database,
        "GROUNDSWELL_REDIS_URL": fresh_redis,
        "GROUNDSWELL_KAFKA_GROUP_PREFIX": unique_topic("group"),
        "GROUNDSWELL_HTTP_PORT": str(port),
        "GROUNDSWELL_DATA_DIR": str(tmp_path / "data"),
        "PYTHONPATH": str(Path(__file__).parents[3]),
        **{
            f"GROUNDSWELL_KAFKA_{name.upper()}_TOPIC": unique_topic(name)
            for name in ("news", "comments", "scored", "dead_letters")
        },
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GROUNDSWELL_")}
    return Machine(folder=tmp_path, environment=inherited | ours, port=port)


@pytest.fixture
def running(machine: Machine) -> Iterator[tuple[Machine, psutil.Process]]:
    process = machine.start()
    watched = psutil.Process(process.pid)
    try:
        machine.until("becoming ready", lambda: machine.get("/readyz"))
        yield machine, watched
    finally:
        family = [watched, *watched.children(recursive=True)] if watched.is_running() else []
        process.kill()
        for one in family:
            if one.is_running():
                one.kill()
        process.wait()


def write_documents(file: Path, count: int) -> None:
    """A second apart, of the year 2026."""
    begin = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
    with file.open("w") as out:
        for number in range(count):
            at = (begin + timedelta(seconds=number)).isoformat()
            document = {"id": f"d{number}", "text": f"Example Corp falls by {number} points", "published_at": at}
            out.write(json.dumps(document | {"source": "Wire", "symbols": ["EXMP"]}) + "\n")


def child(process: psutil.Process, *words: str) -> psutil.Process:
    """The child that runs these words of the command."""
    [found] = [one for one in process.children() if one.cmdline()[-len(words) :] == list(words)]
    return found


def test_documents_that_are_fed_are_counted_also_when_the_recorder_is_killed(
    running: tuple[Machine, psutil.Process], tmp_path: Path
) -> None:
    machine, process = running
    write_documents(tmp_path / "documents.jsonl", 300)
    child(process, "worker", "--stage", "record").kill()
    fed = machine.run("feed", "documents.jsonl", "--speed", "max")
    assert fed.returncode == 0, fed.stderr
    assert "300 documents" in fed.stderr

    def counted() -> bool:
        answer = machine.get("/v1/subjects?kind=entity")
        return bool(answer and answer["subjects"] and answer["subjects"][0]["count"] == 300)

    machine.until("all documents being counted", counted)
    assert "record was ended by SIGKILL" in machine.said
    assert "starting it again" in machine.said
    windows = machine.get("/v1/subjects/entity:EXMP/windows?from=2026-01-05T09:00:00Z&to=2026-01-05T09:05:00Z&step=1m")
    assert [window["count"] for window in windows["windows"]] == [60] * 5
    assert 'groundswell_documents_total{outcome="scored",stage="classify"} 300.0' in machine.metrics()
    described = machine.run("topics", "describe").stdout
    assert "-record lags 0 messages behind" in described

    began = time.monotonic()
    children = process.children(recursive=True)
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs([process, *children], timeout=40)
    assert not alive, f"still there after {time.monotonic() - began:.0f} s: {alive}"
    assert "Everything has ended." in machine.said


def test_nothing_outlives_up_when_it_is_killed(running: tuple[Machine, psutil.Process]) -> None:
    _, process = running
    children = process.children(recursive=True)
    assert len(children) >= 4
    process.kill()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive

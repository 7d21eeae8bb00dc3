"""Where benchmarks run: two cores, servers of their own, and our own processes as children."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg2

from service import connections
from service.embedded import EmbeddedServers
from service.metrics import render_shared
from service.settings import Loaded, child_environment, load
from service.supervise import ChildProcess
from service.up import PROCESSES, child, prepare, ready_servers

CORES = 2


def pin() -> frozenset[int]:
    """Keep this process and all that it starts on two cores. Returns which."""
    cores = frozenset(sorted(os.sched_getaffinity(0))[:CORES])
    os.sched_setaffinity(0, cores)
    return cores


def processor() -> str:
    """The processor in words: its name, and the instructions that decide how fast int8 is."""
    text = Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    known = {"avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX VNNI", "amx_int8": "AMX"}
    flags = text.split()
    found = [title for flag, title in known.items() if flag in flags]
    return f"{name[1] if name else 'unknown'} ({', '.join(found) or 'no VNNI'})"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Embedded servers, and a folder for logs."""

    folder: Path
    loaded: Loaded
    servers: EmbeddedServers

    def fresh(self, name: str) -> Loaded:
        """Settings for one measurement: with topics, groups, windows and a database of its own, all of them empty."""
        dsn = connections.postgres_dsn(self.loaded.settings)
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        connection.close()
        values = {
            "postgres.dsn": urlunsplit(urlsplit(dsn)._replace(path=f"/{name}")),
            "redis.prefix": name,
            "kafka.group_prefix": name,
            "kafka.news_topic": f"{name}-news",
            "kafka.comments_topic": f"{name}-comments",
            "kafka.scored_topic": f"{name}-scored",
            "kafka.dead_letters_topic": f"{name}-dead-letters",
        }
        loaded = self.loaded.over(values, "benchmark")
        prepare(loaded.settings, say=_say_nothing)
        return loaded

    @contextmanager
    def running(self, loaded: Loaded, *names: str) -> Iterator[Running]:
        """Our own processes (of `service.up.PROCESSES`), as `groundswell up` starts them."""
        metrics = Path(tempfile.mkdtemp(prefix="metrics-", dir=self.folder))
        children = [
            child(name, PROCESSES[name], loaded, metrics, log=self.folder / f"{metrics.name}-{name}.log")
            for name in names
        ]
        with _started(children, metrics, self.servers) as running:
            yield running

    @contextmanager
    def running_costless(self, loaded: Loaded) -> Iterator[Running]:
        """The classify stage with a classifier that costs nothing."""
        metrics = Path(tempfile.mkdtemp(prefix="metrics-", dir=self.folder))
        command = (sys.executable, "-m", "bench.costless")
        environment = child_environment(loaded, metrics=metrics)
        one = ChildProcess("classify", command, environment=environment, log=self.folder / f"{metrics.name}.log")
        with _started([one], metrics, self.servers) as running:
            yield running

    def ask(self, loaded: Loaded, *arguments: str, given: str = "") -> str:
        """Run a module of ours to its end and return what it prints. Raises RuntimeError with its log."""
        environment = child_environment(loaded, metrics=self.folder)
        del environment["PROMETHEUS_MULTIPROC_DIR"]
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            input=given,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
        return done.stdout


@dataclass(frozen=True, kw_only=True)
class Running:
    """Processes under measurement."""

    children: Sequence[ChildProcess]
    metrics: Path
    servers: EmbeddedServers

    def documents(self, stage: str) -> int:
        """How many documents a stage has done, by its own metrics. Raises RuntimeError when a process has ended."""
        for one in self.children:
            if one.poll() is not None:
                raise RuntimeError(f"{one.name} ended; {self.said()}")
        text = render_shared(self.metrics).decode()
        pattern = rf'^groundswell_documents_total{{[^}}]*stage="{stage}"[^}}]*}} (\S+)$'
        return round(sum(float(number) for number in re.findall(pattern, text, re.MULTILINE)))

    def said(self) -> str:
        """The ends of their logs."""
        logs = [one.log for one in self.children if one.log is not None]
        return "\n".join(f"the end of {log.name}:\n{log.read_text(errors='replace')[-2000:]}" for log in logs)

    def cpu(self) -> Mapping[str, float]:
        """CPU seconds that each process and each server has used, with its children."""
        pids = {one.name: one.pid for one in self.children}
        pids |= {name: server.pid for name, server in self.servers.servers.items()}
        return {name: _cpu_seconds(pid) for name, pid in pids.items() if pid is not None}


@contextmanager
def machine(say: Callable[[str], None]) -> Iterator[Machine]:
    """Servers in a folder that is removed at the end; those of the settings are not touched."""
    folder = Path(tempfile.mkdtemp(prefix="groundswell-bench-"))
    try:
        # Backlogs repeat their texts, which would be read once.
        overrides = {"data_dir": str(folder / "data"), "model.cache_size": "0"}
        loaded = load(environment={}, overrides=overrides, find_running=False)
        with ready_servers(loaded, say=say) as (ready, servers):
            assert servers is not None
            yield Machine(folder=folder, loaded=ready, servers=servers)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _started(children: Sequence[ChildProcess], metrics: Path, servers: EmbeddedServers) -> Iterator[Running]:
    try:
        for one in children:
            one.start()
        yield Running(children=children, metrics=metrics, servers=servers)
    finally:
        for one in children:
            one.ask_to_stop()
        deadline = time.monotonic() + 20
        for one in children:
            if not one.wait(deadline - time.monotonic()):
                one.kill()


def _cpu_seconds(pid: int) -> float:
    process = psutil.Process(pid)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _say_nothing(line: str) -> None:
    pass

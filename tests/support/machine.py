"""`groundswell up` on servers of its own, as a process under test: fed, asked, and hurt."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import yaml
from support.receiver import SECRET

from domain.errors import TemporaryError
from domain.timeline import minute_of
from domain.watermark import watermark
from service import connections, wiring
from service.settings import load

COMMANDS = {
    "classify": ["worker", "--stage", "classify"],
    "record": ["worker", "--stage", "record"],
    "watch": ["watch"],
    "serve": ["serve"],
}
SERVERS = ("kafka", "postgres", "redis")


class Machine:
    """Everything on one machine from `with` to its end, in a folder of its own. What it says is in `up.log`."""

    def __init__(self, folder: Path, *, port: int, receiver_url: str, **settings: Any) -> None:
        self.folder = folder
        self.data = folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "groundswell.yml"
        content = {
            "data_dir": str(self.data),
            "http": {"port": port},
            "kafka": {"partitions": 2},
            "receivers": [{"name": "risk", "url": receiver_url, "secret": SECRET}],
        }
        self.config.write_text(yaml.safe_dump(content | settings))
        self._up: subprocess.Popen[bytes] | None = None

    # --- life ---

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._up = self._run(["up"], stdout=log, stderr=subprocess.STDOUT)
        self.wait_until(lambda: "Everything is started" in self.said, 180)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._up is not None
        self._up.terminate()
        try:
            self._up.wait(60)
        finally:
            self._up.kill()

    @property
    def log(self) -> Path:
        return self.folder / "up.log"

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def command(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """One `groundswell` command against this machine, to its end."""
        process = self._run(list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        output, errors = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def start(self, *arguments: str) -> subprocess.Popen[Any]:
        """One `groundswell` command beside what runs; its output goes to the log."""
        with self.log.open("ab") as log:
            return self._run(list(arguments), stdout=log, stderr=subprocess.STDOUT)

    def _run(self, arguments: list[str], **options: Any) -> subprocess.Popen[Any]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GROUNDSWELL_")}
        command = [sys.executable, "-m", "service.cli", "--config", str(self.config), *arguments]
        return subprocess.Popen(command, env=clean, **options)

    def wait_until(self, happened: Callable[[], bool], seconds: float) -> None:
        """Poll. Raises TimeoutError with the end of the log."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:.0f} s; the end of the log:\n{self.said[-4000:]}")
            assert self._up is None or self._up.poll() is None, self.said[-4000:]
            time.sleep(0.2)

    # --- what it knows ---

    @property
    def settings(self) -> Any:
        return load(self.config, environment={}).settings

    def wait_for_the_end(self, seconds: float) -> None:
        """Until the end marks' time is evaluated and every webhook is delivered."""
        database = connections.postgres(self.settings, "test")
        windows = wiring.window_reader(self.settings, "test", database)
        alerts, outbox = wiring.alert_store(database), wiring.outbox(database)
        lateness = self.settings.event_time.lateness

        def done() -> bool:
            try:
                marks = windows.marks()
                ends = [mark.ended_at for mark in marks if mark.ended_at is not None]
                at = watermark(marks, lateness).at
                through = alerts.load().evaluated_through
                return (
                    bool(ends)
                    and at is not None
                    and at >= max(ends)
                    and through is not None
                    and through >= minute_of(at)
                    and outbox.next_due() is None
                )
            except TemporaryError:
                return False

        self.wait_until(done, seconds)

    # --- what happens to it ---

    def pids(self, name: str) -> list[int]:
        """Of one of its processes, or of one of its servers' first process."""
        if name in SERVERS:
            file = self.data / name / "pid"
            return [int(file.read_text().split()[0])] if file.exists() else []
        assert self._up is not None
        tail = COMMANDS[name]
        return [
            child.pid for child in psutil.Process(self._up.pid).children() if _command_of(child)[-len(tail) :] == tail
        ]

    def running(self, *names: str) -> dict[str, list[int]]:
        """The processes of these names, once each has one: what was just started takes a moment to be it."""
        self.wait_until(lambda: all(map(self.pids, names)), 30)
        return {name: self.pids(name) for name in names}

    def kill(self, *names: str) -> None:
        """SIGKILL, as a crash or the kernel's memory killer would; `up` starts them again."""
        for pid in [pid for name in names for pid in self.pids(name)]:
            _signal(pid, signal.SIGKILL)

    @contextmanager
    def supervisor_looks_away(self) -> Iterator[None]:
        """Nothing is started again within the block."""
        assert self._up is not None
        os.kill(self._up.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._up.pid, signal.SIGCONT)

    def save_redis(self, to: Path) -> None:
        """Keep Redis's files as they are now."""
        if to.exists():
            shutil.rmtree(to)
        shutil.copytree(self.data / "redis", to)

    def put_redis_back(self, saved: Path) -> None:
        """Kill Redis and let it come back with the files kept earlier, as after a failover to a stale replica."""
        with self.supervisor_looks_away():
            pids = self.pids("redis")
            self.kill("redis")
            psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=3)
            for part in ("appendonlydir", "dump.rdb"):
                there, kept = self.data / "redis" / part, saved / part
                if there.is_dir():
                    shutil.rmtree(there)
                elif there.exists():
                    there.unlink()
                if kept.is_dir():
                    shutil.copytree(kept, there)
                elif kept.exists():
                    shutil.copy2(kept, there)

    def freeze_record(self, seconds: float) -> None:
        """SIGSTOP the record worker until a successor has taken over, then wake it beside that one."""
        frozen = self.pids("record")
        for pid in frozen:
            _signal(pid, signal.SIGSTOP)
        successor = self.start("worker", "--stage", "record")
        time.sleep(seconds)
        for pid in frozen:
            _signal(pid, signal.SIGCONT)
        time.sleep(seconds / 4)
        successor.kill()
        successor.wait()


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def write_stream(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A JSONL file for `groundswell feed`."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path

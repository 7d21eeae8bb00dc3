"""The supervisor, with real child processes and a clock of our own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from domain.errors import PermanentError
from service.supervise import ChildProcess, RestartPolicy, Supervisor

ROOT = Path(__file__).parents[3]


def python(name: str, code: str, **options: object) -> ChildProcess:
    return ChildProcess(name, [sys.executable, "-c", textwrap.dedent(code)], **options)  # type: ignore[arg-type]


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Neither running nor a zombie of ours."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


FOREVER = "import time; time.sleep(600)"


def test_a_child_that_was_killed_is_started_again_after_a_delay_and_said_so() -> None:
    said: list[str] = []
    child = python("worker", FOREVER)
    supervisor = Supervisor([child], say=said.append)
    supervisor.start(now=0.0)
    try:
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: child.poll() is not None)
        supervisor.tick(now=3.0)
        assert said == ["worker was ended by SIGKILL after 3.0 s; starting it again in 0.5 s"]
        supervisor.tick(now=3.4)
        assert child.pid is None
        supervisor.tick(now=3.5)
        assert child.pid not in (None, first)
        assert gone(first)
    finally:
        supervisor.stop()


def test_the_delay_doubles_up_to_its_limit_and_starts_over_after_a_healthy_run(tmp_path: Path) -> None:
    said: list[str] = []
    child = python("worker", "import sys; print('no such topic'); sys.exit(3)", log=tmp_path / "worker.log")
    policy = RestartPolicy(first_delay=1.0, longest_delay=5.0, healthy_after=60.0, alarm_after=3)
    supervisor = Supervisor([child], say=said.append, policy=policy)
    now = 0.0
    supervisor.start(now)
    delays = []
    for lived in (0.0, 0.0, 0.0, 0.0, 90.0):
        eventually(lambda: child.poll() is not None)
        now += lived
        supervisor.tick(now)
        delays.append(float(said[-1].split(" in ")[-1].split(" s")[0]))
        now += delays[-1]
        supervisor.tick(now)
    supervisor.stop()
    assert delays == [1.0, 2.0, 4.0, 5.0, 1.0]
    assert said[0] == "worker ended with status 3 after 0.0 s; starting it again in 1 s"
    assert said[2].startswith("worker ended with status 3, 3 times in a row within 60 s of its start; trying again")
    assert "no such topic" in said[2]


def test_it_gives_up_when_the_policy_says_so() -> None:
    child = python("worker", "raise SystemExit(1)")
    supervisor = Supervisor([child], say=print, policy=RestartPolicy(first_delay=0.0, give_up_after=2))
    supervisor.start(now=0.0)
    eventually(lambda: child.poll() is not None)
    supervisor.tick(now=1.0)
    supervisor.tick(now=1.0)
    eventually(lambda: child.poll() is not None)
    with pytest.raises(PermanentError, match=r"worker ended with status 1, 2 times in a row.*giving up"):
        supervisor.tick(now=2.0)


def test_a_program_that_is_not_there_is_reported_and_tried_again(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "worker.log"
    child = ChildProcess("worker", ["/does/not/exist"], log=log)
    supervisor = Supervisor([child], say=said.append)
    supervisor.start(now=0.0)
    eventually(lambda: child.poll() is not None)
    supervisor.tick(now=0.1)
    supervisor.stop()
    assert said == ["worker ended with status 126 after 0.1 s; starting it again in 0.5 s"]
    assert "can't start /does/not/exist" in log.read_text()


def test_stop_asks_first_and_kills_a_child_and_its_children_after_the_grace(tmp_path: Path) -> None:
    polite = tmp_path / "polite"
    grandchild = tmp_path / "grandchild"
    said: list[str] = []
    children = [
        python(
            "polite",
            f"""
            import pathlib, signal, sys, time
            def end(*_):
                pathlib.Path({str(polite)!r}).write_text("ended")
                sys.exit()
            signal.signal(signal.SIGTERM, end)
            pathlib.Path({str(polite)!r}).touch()
            time.sleep(600)
            """,
        ),
        python(
            "stubborn",
            f"""
            import pathlib, signal, subprocess, sys, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", {FOREVER!r}])
            pathlib.Path({str(grandchild)!r}).write_text(str(child.pid))
            time.sleep(600)
            """,
            grace=0.5,
        ),
    ]
    supervisor = Supervisor(children, say=said.append)
    supervisor.start(now=0.0)
    eventually(lambda: polite.exists() and grandchild.exists() and grandchild.read_text())
    pids = [child.pid for child in children] + [int(grandchild.read_text())]
    supervisor.stop()
    assert polite.read_text() == "ended"
    assert said == ["stubborn does not end: killing it"]
    eventually(lambda: all(pid is not None and gone(pid) for pid in pids))


def test_a_log_file_is_emptied_when_it_grows_too_large(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    child = python("worker", f"print('x' * {9 * 1024 * 1024}, flush=True); {FOREVER}", log=log)
    supervisor = Supervisor([child], say=print)
    supervisor.start(now=0.0)
    eventually(lambda: log.stat().st_size > 9 * 1024 * 1024)
    supervisor.tick(now=1.0)
    supervisor.stop()
    assert log.stat().st_size == 0
    assert (tmp_path / "worker.log.1").stat().st_size > 9 * 1024 * 1024


TREE = """
import sys
from service.supervise import ChildProcess, Supervisor
child = ChildProcess("worker", [sys.executable, "-c", "import time; time.sleep(600)"])
Supervisor([child], say=lambda line: print(line, flush=True)).run()
print("stopped", flush=True)
"""


@contextmanager
def tree() -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A process that runs a supervisor, and its child."""
    parent = subprocess.Popen([sys.executable, "-c", TREE], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        process = psutil.Process(parent.pid)
        # The launcher has become the program once it no longer is called by its name.
        eventually(lambda: [c for c in process.children() if "launch.py" not in " ".join(c.cmdline())])
        yield parent, process.children()[0]
    finally:
        parent.kill()
        parent.wait()
        if parent.stdout is not None:
            parent.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_whole_tree(number: signal.Signals) -> None:
    with tree() as (parent, child):
        parent.send_signal(number)
        output, _ = parent.communicate(timeout=10)
        assert output == "stopped\n"
        assert parent.returncode == 0
        assert gone(child.pid)


def test_children_die_when_the_supervisor_is_killed() -> None:
    with tree() as (parent, child):
        parent.kill()
        parent.wait()
        eventually(lambda: gone(child.pid), seconds=2.0)


def test_a_killed_child_leaves_no_zombie_and_is_replaced() -> None:
    with tree() as (parent, child):
        child.kill()
        eventually(lambda: not psutil.pid_exists(child.pid))
        eventually(lambda: psutil.Process(parent.pid).children())


def test_a_thread_that_may_end_is_refused() -> None:
    import threading

    errors: list[RuntimeError] = []

    def body() -> None:
        try:
            python("worker", FOREVER).start()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])

"""Programs die with the thread that started them, and start as if we were not Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from domain.errors import PermanentError
from service.embedded.logfile import open_log, rotate, tail
from service.embedded.process import PLAIN_ENVIRONMENT, Command, run, wheel_folder


def run_shell(script: str, log: Path, **options: object) -> list[str]:
    command = Command(arguments=("/bin/sh", "-c", script), environment=PLAIN_ENVIRONMENT, **options)  # type: ignore[arg-type]
    with open_log(log) as output:
        assert run(command, output) == 0
    return log.read_text().splitlines()


def test_the_caller_s_environment_does_not_reach_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m")
    assert not any("JAVA_TOOL_OPTIONS" in line for line in run_shell("env", tmp_path / "log"))


def test_no_signal_stays_ignored(tmp_path: Path) -> None:
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    (line,) = run_shell("grep SigIgn /proc/self/status", tmp_path / "log")
    assert int(line.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_becomes_an_ordinary_user_that_may_pass_through_private_folders_and_no_more(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "file").write_text("readable")
    script = (
        f"id -u; id -G; cat {private}/file; echo; touch {private}/new || echo refused; grep CapEff /proc/self/status"
    )
    lines = run_shell(script, tmp_path / "log", account=(65534, 65534))
    assert lines[:3] == ["65534", "65534", "readable"]
    assert "refused" in lines
    # Read and search, nothing else: capabilities(7), CAP_DAC_READ_SEARCH is bit 2.
    assert lines[-1].split() == ["CapEff:", "0000000000000004"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_an_ordinary_user_may_run_it_also_hears_that_it_may_run(tmp_path: Path) -> None:
    """PostgreSQL asks access(2) before it starts its own programs."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    program = private / "program"
    program.write_text("")
    program.chmod(0o755)
    asks = f"import os; print(os.access({str(program)!r}, os.R_OK | os.X_OK))"
    command = Command(
        arguments=(sys.executable, "-I", "-S", "-c", asks), environment=PLAIN_ENVIRONMENT, account=(65534, 65534)
    )
    with open_log(tmp_path / "log") as output:
        assert run(command, output) == 0
    assert (tmp_path / "log").read_text() == "True\n"


def test_a_program_whose_parent_is_gone_already_does_not_start() -> None:
    from service.embedded import launch

    arguments = [sys.executable, "-I", "-S", launch.__file__, "1", "9", "-", "/bin/echo", "alive"]
    finished = subprocess.run(arguments, capture_output=True, check=False)
    assert (finished.returncode, finished.stdout) == (126, b"")


def test_a_tool_may_run_in_any_thread(tmp_path: Path) -> None:
    lines: list[str] = []
    thread = threading.Thread(target=lambda: lines.extend(run_shell("echo done", tmp_path / "log")))
    thread.start()
    thread.join()
    assert lines == ["done"]


def test_a_wheel_that_is_not_installed_is_an_error_with_the_fix() -> None:
    with pytest.raises(PermanentError, match="no_such_wheel is not installed: install it, or"):
        wheel_folder("no_such_wheel")


def test_a_log_is_private_and_its_end_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with open_log(log) as output:
        output.write(b"".join(b"line %d\n" % number for number in range(100)) + b"\xff")
    assert log.stat().st_mode & 0o777 == 0o600
    assert tail(log, lines=2) == f"The end of {log}:\n  line 99\n  �"
    assert tail(tmp_path / "none") == ""


def test_a_log_below_its_limit_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("short")
    rotate(log, limit=5)
    assert log.read_text() == "short"
    rotate(log, limit=4)
    assert log.read_text() == ""
    assert (tmp_path / "log.1").read_text() == "short"

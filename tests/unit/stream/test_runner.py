"""A process ends when it is told to, or when a stage can't go on, and says which by its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

from domain.errors import PermanentError
from stream.intake import Intake
from stream.runner import FAILED, STOPPED, run

ROOT = Path(__file__).parents[3]


class FakeIntake:
    """Fails after a while, or never."""

    def __init__(self, *, fails_after: float | None = None, starts_in: float = 0, fails_to_start: bool = False) -> None:
        self.calls: list[str] = []
        self._fails_after = fails_after
        self._starts_in = starts_in
        self._fails_to_start = fails_to_start

    async def start(self) -> None:
        self.calls.append("start")
        await asyncio.sleep(self._starts_in)
        if self._fails_to_start:
            raise OSError("no such thing")
        self.calls.append("started")

    async def wait(self) -> None:
        await asyncio.sleep(60 if self._fails_after is None else self._fails_after)
        raise PermanentError("it can't go on")

    async def stop(self) -> None:
        self.calls.append("stop")


def run_fakes(*intakes: FakeIntake) -> int:
    return run(*cast("tuple[Intake, ...]", intakes))


def terminate_soon(after: float = 0.2, number: int = signal.SIGTERM) -> None:
    subprocess.Popen(["sh", "-c", f"sleep {after}; kill -{number} {os.getpid()}"])


def test_a_signal_ends_it_in_good_order() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        fakes = FakeIntake(), FakeIntake()
        terminate_soon(number=number)
        assert run_fakes(*fakes) == STOPPED
        assert [fake.calls for fake in fakes] == [["start", "started", "stop"]] * 2


def test_when_one_can_not_go_on_all_end_and_the_exit_code_says_so() -> None:
    fakes = FakeIntake(fails_after=0.05), FakeIntake()
    assert run_fakes(*fakes) == FAILED
    assert all(fake.calls[-1] == "stop" for fake in fakes)


def test_one_that_can_not_start_ends_it() -> None:
    fake = FakeIntake(fails_to_start=True)
    assert run_fakes(fake) == FAILED
    assert fake.calls == ["start", "stop"]


def test_a_signal_ends_a_start_that_takes_long() -> None:
    fake = FakeIntake(starts_in=60)
    terminate_soon()
    started = time.monotonic()
    assert run_fakes(fake) == STOPPED
    assert time.monotonic() - started < 10
    assert fake.calls == ["start", "stop"]


def test_an_end_that_takes_too_long_is_cut_short() -> None:
    program = """
import asyncio
from stream.runner import run

class Stubborn:
    async def start(self): ...
    async def wait(self): raise OSError("lost")
    async def stop(self): await asyncio.sleep(60)

run(Stubborn(), grace=0.3)
"""
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == FAILED
    assert b"took more than" in ended.stderr
    assert time.monotonic() - started < 30

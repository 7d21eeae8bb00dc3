"""Running stages as a process: until a signal, or until one of them can't go on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from typing import Any

from stream import garbage
from stream.intake import Intake

log = logging.getLogger(__name__)

STOPPED = 0
"""Exit code after SIGTERM or SIGINT."""
FAILED = 1
"""Exit code when a stage could not go on; the supervisor starts the process again."""


def run(*intakes: Intake, grace: float = 20.0) -> int:
    """Run until SIGTERM or SIGINT, or until an intake fails (it has logged why). Returns the exit code.

    What is in flight is finished first; if that takes more than `grace` seconds the process ends there and then, with
    the same exit code: what was not committed is read again. Call it from the main thread, and exit when it returns:
    should one of its threads still hang, the process is ended when the grace is over.
    """
    others = set(threading.enumerate())
    last_resort = _LastResort(grace)
    code = asyncio.run(_serve(intakes, last_resort))
    if not any(thread not in others and not thread.daemon for thread in threading.enumerate()):
        last_resort.cancel()
    return code


async def _serve(intakes: tuple[Intake, ...], last_resort: _LastResort) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    garbage.calm()  # looks through all there is once, so a signal meanwhile must find its handler
    stopped = loop.create_task(stopping.wait())
    works = [loop.create_task(_start_and_wait(intake)) for intake in intakes]
    waits: list[asyncio.Task[Any]] = [stopped, *works]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    code = STOPPED if stopped.done() else FAILED
    last_resort.arm(code)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    for outcome in await asyncio.gather(*(intake.stop() for intake in intakes), return_exceptions=True):
        if isinstance(outcome, Exception):
            log.error("the end was not a clean one", exc_info=outcome)
    return code


async def _start_and_wait(intake: Intake) -> None:
    try:
        await intake.start()
    except Exception:
        log.critical("the start failed", exc_info=True)
        raise
    await intake.wait()


class _LastResort:
    """Ends the process when it does not end by itself."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._timer: threading.Timer | None = None

    def arm(self, code: int) -> None:
        """Let it end with this exit code when the grace is over."""
        self._timer = threading.Timer(self._grace, self._end, (code,))
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """It ended by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, code: int) -> None:
        log.warning("the end took more than %.0f s: what was not committed is read again", self._grace)
        sys.stderr.flush()
        os._exit(code)

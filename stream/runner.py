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
from stream.quiet import quiet_repeaters

log = logging.getLogger(__name__)

STOPPED = 0
"""Exit code after SIGTERM or SIGINT."""
FAILED = 1
"""Exit code when a stage could not go on; the supervisor starts the process again."""


def run(*intakes: Intake, grace: float = 20.0) -> int:
    """Run until SIGTERM or SIGINT, or until an intake fails (it has logged why). Returns the exit code.

    What is in flight is finished first; if that takes more than `grace` seconds the process ends there and then, with
    the same exit code: what was not committed is read again. Call it from the main thread.
    """
    garbage.calm()
    return asyncio.run(serve(*intakes, grace=grace))


async def serve(*intakes: Intake, grace: float = 20.0) -> int:
    """The same on a running event loop."""
    quiet_repeaters()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    waits: list[asyncio.Task[Any]] = [loop.create_task(stopping.wait())]
    code = STOPPED
    try:
        for intake in intakes:
            starting = loop.create_task(intake.start())
            await asyncio.wait([starting, waits[0]], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                break
            starting.result()
            waits.append(loop.create_task(intake.wait()))
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if waits[0] not in done:
            code = FAILED
    except Exception:
        log.exception("the start failed")
        code = FAILED
    deadline = _end_at_the_latest(grace, code)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, *(intake.stop() for intake in intakes), return_exceptions=True)
    deadline.cancel()
    return code


def _end_at_the_latest(grace: float, code: int) -> threading.Timer:
    def end() -> None:
        log.warning("the shutdown took more than %.0f s: ending now, what was not committed is read again", grace)
        sys.stderr.flush()
        os._exit(code)

    timer = threading.Timer(grace, end)
    timer.daemon = True
    timer.start()
    return timer

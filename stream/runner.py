"""Running a stage as a process: until a signal, or until it can't go on."""

from __future__ import annotations

from stream.intake import Intake


def run(intake: Intake, *, grace: float = 20.0) -> int:
    """Run until SIGTERM or SIGINT, then finish what is in flight within `grace` seconds. Returns the exit code: 0 after
    a signal, 1 when it could not go on (the reason is logged). Call it from the main thread."""
    raise NotImplementedError

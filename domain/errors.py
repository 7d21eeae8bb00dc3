"""The three kinds of error: what was given is wrong, try later, never try again.

A vendor's error is translated into one of these at the edge of its room, with its cause chained.
"""

from __future__ import annotations


class GroundswellError(Exception):
    """Base of every error that we raise on purpose. Its text is one readable line and holds no secret."""


class InvalidInput(GroundswellError):
    """What was given is wrong and will stay wrong. `reason` is a stable snake_case name (a metric label)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TemporaryError(GroundswellError):
    """It may work later: `delay` seconds from now, or whenever the caller's own back-off says (None)."""

    def __init__(self, message: str, *, delay: float | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class PermanentError(GroundswellError):
    """It will not work however often it is tried; a person must act. The text says what to do."""


class Conflict(TemporaryError):
    """Another process moved the state on first; load it again and go on from there."""


class WindowsNotWhole(TemporaryError):
    """The windows in Redis are empty or being rebuilt: wait until they are whole."""


class Overloaded(TemporaryError):
    """A bounded queue is full, and what was asked for was not begun: ask again after `delay` seconds."""

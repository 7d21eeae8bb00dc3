"""What a plain install lacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import PermanentError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Put imports inside: where a library is missing, the error is the command that installs it."""
    try:
        yield
    except ImportError as error:
        raise PermanentError(
            f"this command needs {error.name}, which is not installed: pip install 'groundswell[{name}]'"
        ) from error

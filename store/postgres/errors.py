"""Translates what psycopg2 and SQLAlchemy raise into the three kinds of error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import sqlalchemy.exc

from domain.errors import GroundswellError, InvalidInput, PermanentError, TemporaryError

REFUSED = "refused_by_postgres"
"""The reason of an InvalidInput: a value that Postgres can't hold (SQLSTATE classes 22 and 23)."""

_REFUSED_CLASSES = ("22", "23")
_TEMPORARY_CLASSES = ("08", "40", "53", "55", "57", "58")
"""Connection, serialization and deadlock, resources (disk full, too many clients), locks, shutdown and cancel, I/O."""

_TEMPORARY_STATES = frozenset({"25006", "25P03", "25P04"})
"""Read-only (a primary that was just demoted), and the time-outs that end a transaction that stands still."""

_INDEX_ROW_TOO_LONG = "54000"

_FIXES = {
    "28": "check the user, the password and pg_hba.conf",
    "3D": "create the database, or correct its name",
    "42": "run `groundswell db upgrade`, and check the user's privileges",
}

_PERMANENT_TEXTS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password supplied",
    "certificate",
    "server does not support SSL",
    "permission denied",
    "is not permitted to log in",
    "invalid sslmode",
    "invalid connection option",
)
"""What libpq says of a failed connection that waiting does not mend; it gives no SQLSTATE for these."""


def is_refusal(error: BaseException) -> bool:
    """Whether Postgres refused a value, rather than was unable to work."""
    state = getattr(error, "pgcode", None)
    return state is not None and (state[:2] in _REFUSED_CLASSES or state == _INDEX_ROW_TOO_LONG)


def translate(error: psycopg2.Error) -> GroundswellError:
    """The error of ours that `error` stands for; its text is one line."""
    state = error.pgcode
    said = _first_line(error)
    if state is None:
        if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            if any(text in str(error) for text in _PERMANENT_TEXTS):
                return PermanentError(f"Postgres can't be used: {said}; check the address, the user and TLS settings")
            return TemporaryError(f"Postgres can't be reached: {said}")
        return PermanentError(f"Postgres: {said}")
    if is_refusal(error):
        return InvalidInput(REFUSED, f"Postgres refused a value ({state}): {said}")
    if state[:2] in _TEMPORARY_CLASSES or state in _TEMPORARY_STATES:
        return TemporaryError(f"Postgres asks to come back later ({state}): {said}")
    fix = _FIXES.get(state[:2])
    return PermanentError(f"Postgres ({state}): {said}" + (f"; {fix}" if fix else ""))


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors for theirs, with the cause chained."""
    try:
        yield
    except psycopg2.Error as error:
        raise translate(error) from error
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg2.Error):
            raise translate(error.orig) from error.orig
        raise
    except sqlalchemy.exc.TimeoutError as error:
        raise TemporaryError("all connections to Postgres are in use") from error
    except ValueError as error:
        # psycopg2's own refusals of parameters: a NUL (it has no error of its own for it) and half of a surrogate pair.
        if isinstance(error, UnicodeEncodeError) or "NUL (0x00)" in str(error):
            raise InvalidInput(REFUSED, "Postgres can't hold a NUL character or half of a surrogate pair") from error
        raise


def _first_line(error: psycopg2.Error) -> str:
    primary = error.diag.message_primary
    lines = (primary or str(error) or type(error).__name__).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__

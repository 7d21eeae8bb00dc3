"""What strangers wrote, on an operator's terminal."""

from __future__ import annotations


def readable(value: bytes | str | None) -> str:
    """Text as it is when it can be shown, else as Python would write it: an escape sequence would change what the
    terminal shows of the rest."""
    if value is None:
        return "null"
    try:
        text = value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        return repr(value)
    return text if text.isprintable() else repr(value)

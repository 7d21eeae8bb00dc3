"""The garbage collector of a process that streams."""

from __future__ import annotations

import gc

_YOUNG = 100_000
_OLD = (50, 100)


def calm() -> None:
    """Look for cycles less often, and not in what was imported.

    Batches are thousands of objects that live for a moment and are in no cycle; by default the collector walks through
    all of them, and all of the libraries, again and again: measured, more than half of the record stage's processor
    time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *_OLD)

"""What a model was trained on, as hashes in its folder: by them figures that flatter are known, and teachers chosen."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from models.normalise import input_hash

SEEN_FILE = "trained_on.npy"
"""In a model folder: the first 8 bytes of the hash of each text that it was trained on, ascending, uint64."""


def write_seen(folder: Path, texts: Collection[str], *, before: frozenset[int] = frozenset()) -> None:
    """Write into a model folder which normalised texts it was trained on, beside those that the model knew that it
    started with: `before`, as `read_seen` gives them."""
    seen = before | set(map(short_hash, texts))
    np.save(folder / SEEN_FILE, np.array(sorted(seen), dtype=np.uint64), allow_pickle=False)


def read_seen(folder: Path) -> frozenset[int]:
    """What `write_seen` wrote; nothing if it never did."""
    path = folder / SEEN_FILE
    return frozenset(np.load(path, allow_pickle=False).tolist()) if path.exists() else frozenset()


def known_of(folder: Path, texts: Collection[str]) -> str | None:
    """What to say where the model in `folder` was trained on some of these normalised texts, which it is to be measured
    on."""
    asked = set(map(short_hash, texts))
    known = len(asked & read_seen(folder))
    return f"was trained on {known:,} of {len(asked):,} held-out texts: figures on them flatter" if known else None


def short_hash(text: str) -> int:
    """What stands for a normalised text there."""
    return int(input_hash(text)[:16], 16)

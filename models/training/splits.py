"""Splits by story: texts that nearly repeat each other stay on one side."""

from __future__ import annotations

import hashlib
import itertools
import re
import zlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BANDS = 24
ROWS = 3
"""MinHash signatures of BANDS × ROWS values: texts with Jaccard similarity s share a band with probability
1 − (1 − s^ROWS)^BANDS (Leskovec et al., Mining of Massive Datasets, 3.4): 0.96 at s = 0.5, 0.49 at 0.3."""

_WORD = re.compile(r"\w+")
_PRIME = np.uint64((1 << 31) - 1)


def hold_out(texts: Sequence[str], *, share: float, seed: int = 0, similarity: float = 0.5) -> NDArray[np.bool_]:
    """For each text whether it is held out: about `share` of the stories are, chosen by a hash of their first text in
    alphabetical order, so that adding other stories later moves none of them. Shape (len(texts),)."""
    groups = stories(texts, similarity=similarity)
    first: dict[int, str] = {}
    for text, group in zip(texts, groups, strict=True):
        first[group] = min(first.get(group, text), text)
    held = {group: _fraction(text, seed) < share for group, text in first.items()}
    return np.array([held[group] for group in groups], dtype=np.bool_)


def stories(texts: Sequence[str], *, similarity: float = 0.5) -> list[int]:
    """A group number for each text. Two texts whose sets of words and word pairs have a Jaccard similarity of at least
    `similarity` are in one group (and so is whatever is similar to either of them)."""
    features = [_features(text) for text in texts]
    parent = list(range(len(texts)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    signatures = _signatures(features)
    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for number, signature in enumerate(signatures[:, band * ROWS : (band + 1) * ROWS]):
            buckets[signature.tobytes()].append(number)
        for members in buckets.values():
            # Against the first few only: a bucket of many is a template, and its members meet in other bands too.
            for position, number in enumerate(members[1:], start=1):
                for other in members[: min(position, 8)]:
                    if root(number) != root(other) and _jaccard(features[number], features[other]) >= similarity:
                        parent[root(number)] = root(other)
    return [root(number) for number in range(len(texts))]


def _features(text: str) -> frozenset[int]:
    words = _WORD.findall(text.lower())
    pairs = [f"{one} {two}" for one, two in itertools.pairwise(words)]
    # A text without any word is similar to its exact copies only.
    return frozenset(zlib.crc32(word.encode()) for word in (words + pairs or [text]))


def _signatures(features: Sequence[frozenset[int]]) -> NDArray[np.uint64]:
    """MinHash by random linear functions modulo the Mersenne prime 2³¹ − 1; shape (texts, BANDS × ROWS)."""
    random = np.random.default_rng(0)
    slope = random.integers(1, int(_PRIME), BANDS * ROWS, dtype=np.uint64)
    shift = random.integers(0, int(_PRIME), BANDS * ROWS, dtype=np.uint64)
    out = np.empty((len(features), BANDS * ROWS), dtype=np.uint64)
    for number, hashes in enumerate(features):
        values = np.fromiter(hashes, dtype=np.uint64, count=len(hashes)) % _PRIME
        out[number] = ((values[:, None] * slope + shift) % _PRIME).min(axis=0)
    return out


def _jaccard(one: frozenset[int], two: frozenset[int]) -> float:
    common = len(one & two)
    return common / (len(one) + len(two) - common)


def _fraction(text: str, seed: int) -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(8, "big")).digest()
    return int.from_bytes(digest, "big") / 2**64

"""Splits by story: texts that nearly repeat each other stay on one side, or in one fold."""

from __future__ import annotations

import hashlib
import itertools
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

BANDS = 24
ROWS = 3
"""MinHash signatures of BANDS × ROWS values: texts with Jaccard similarity s share a band with probability
1 − (1 − s^ROWS)^BANDS (Leskovec et al., Mining of Massive Datasets, 3.4): 0.96 at s = 0.5, 0.49 at 0.3."""

_WORD = re.compile(r"\w+")
_PRIME = np.uint64((1 << 31) - 1)


def hold_out(
    texts: Sequence[str],
    *,
    share: float,
    seed: int = 0,
    similarity: float = 0.5,
    labels: Sequence[Collection[str]] | None = None,
) -> NDArray[np.bool_]:
    """For each text whether it is held out, shape (len(texts),): about `share` of the stories are.

    Without `labels` they are chosen by a hash of their first text in alphabetical order, so that adding other stories
    later moves none of them. With the labels of each text (any number, of any tasks: write "topic=Macro") the held-out
    side has each label's share as far as whole stories allow; adding stories may then move others.
    """
    groups, first = _first_texts(texts, similarity)
    if labels is None:
        held = {group: _fraction(text, seed) < share for group, text in first.items()}
    else:
        order = {group: _fraction(text, seed) for group, text in first.items()}
        held = {group: part == 0 for group, part in _stratify(groups, labels, order, (share, 1 - share)).items()}
    return np.array([held[group] for group in groups], dtype=np.bool_)


def folds(
    texts: Sequence[str],
    k: int,
    seed: int = 0,
    *,
    similarity: float = 0.5,
    labels: Sequence[Collection[str]] | None = None,
) -> NDArray[np.int64]:
    """The fold of each text, 0 to k − 1, shape (len(texts),): a story is in one fold, each about 1/k of the stories.
    Independent of `hold_out` at the same seed; `labels` and what moves when stories are added are as there.

    Raises ValueError when k is below 2.
    """
    if k < 2:
        raise ValueError(f"at least 2 folds are needed, got {k}")
    groups, first = _first_texts(texts, similarity)
    place = {group: _fraction(text, seed, b"folds") for group, text in first.items()}
    if labels is None:
        fold = {group: int(fraction * k) for group, fraction in place.items()}
    else:
        fold = _stratify(groups, labels, place, (1 / k,) * k)
    return np.array([fold[group] for group in groups], dtype=np.int64)


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
    rng = np.random.default_rng(0)
    slope = rng.integers(1, int(_PRIME), BANDS * ROWS, dtype=np.uint64)
    shift = rng.integers(0, int(_PRIME), BANDS * ROWS, dtype=np.uint64)
    out = np.empty((len(features), BANDS * ROWS), dtype=np.uint64)
    for number, hashes in enumerate(features):
        values = np.fromiter(hashes, dtype=np.uint64, count=len(hashes)) % _PRIME
        out[number] = ((values[:, None] * slope + shift) % _PRIME).min(axis=0)
    return out


def _jaccard(one: frozenset[int], two: frozenset[int]) -> float:
    common = len(one & two)
    return common / (len(one) + len(two) - common)


def _first_texts(texts: Sequence[str], similarity: float) -> tuple[list[int], dict[int, str]]:
    """The story of each text, and each story's first text in alphabetical order."""
    groups = stories(texts, similarity=similarity)
    first: dict[int, str] = {}
    for text, group in zip(texts, groups, strict=True):
        first[group] = min(first.get(group, text), text)
    return groups, first


def _stratify(
    groups: Sequence[int], labels: Sequence[Collection[str]], order: Mapping[int, float], shares: Sequence[float]
) -> dict[int, int]:
    """Story → part, each part with about its share of each label. As in iterative stratification (Sechidis et al.
    2011, On the Stratification of Multi-Label Data) the rarest label is dealt out first, since common ones can still
    be evened out afterwards. A story goes to the part that is furthest behind its share so far; the paper's choice, the
    part that most is still to come to, would fill a small part last, with the smallest stories only."""
    members: dict[int, Counter[str]] = defaultdict(Counter)
    for group, names in zip(groups, labels, strict=True):
        # The empty name counts all rows: what has no label is dealt out last, and ties go by it.
        members[group].update([*names, ""])
    waiting = sorted(members, key=lambda group: (-members[group][""], order[group]))
    left = sum(members.values(), Counter[str]())
    dealt = [Counter[str]() for _ in shares]
    part_of: dict[int, int] = {}

    def behind(part: int, group: int, name: str) -> float:
        """By how many rows the part is short of its share, were the group dealt to another one."""
        return shares[part] * (sum(one[name] for one in dealt) + members[group][name]) - dealt[part][name]

    while left := +left:
        rarest = min(left, key=lambda name: (name == "", left[name], name))
        for group in waiting:
            if group in part_of or rarest not in members[group]:
                continue
            part = max(range(len(shares)), key=lambda part: (behind(part, group, rarest), behind(part, group, "")))
            part_of[group] = part
            dealt[part].update(members[group])
            left.subtract(members[group])
    return part_of


def _fraction(text: str, seed: int, purpose: bytes = b"") -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(8, "big"), person=purpose).digest()
    return int.from_bytes(digest, "big") / 2**64

"""Chooses the texts most worth labelling: those that the model is unsure of, and no two of one story."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from domain.errors import InvalidInput
from models.training.splits import stories

WIDTH = 2048
"""Columns that words and word pairs are hashed to: with some tens of them in a text few share one by chance."""

_WORD = re.compile(r"\w+")
_TOGETHER = 256
"""Labelled texts that all others are compared with at once."""


class Measure(StrEnum):
    """How unsure a model is (Settles 2009, Active Learning Literature Survey, 3.1)."""

    ENTROPY = "entropy"
    """Of all labels' probabilities."""
    MARGIN = "margin"
    """How close the second label comes to the first (Scheffer et al. 2001); blind to all others."""


def uncertainty(scores: Mapping[str, float], measure: Measure) -> float:
    """From the probabilities of one task's labels: 0 for a model that is certain, 1 for one that knows nothing.

    Raises InvalidInput (`labelling_task`) when they don't sum to 1 within 1e-2: of a text with any number of labels.
    """
    likely = np.sort(np.fromiter(scores.values(), dtype=np.float64))[::-1]
    if abs(likely.sum() - 1) > 1e-2:
        raise InvalidInput("labelling_task", "only tasks with one label for each text can be asked about")
    if len(likely) < 2:
        return 0.0
    if measure is Measure.MARGIN:
        return float(1 - (likely[0] - likely[1]))
    some = likely[likely > 0]
    return float(-(some * np.log(some)).sum() / np.log(len(likely)))


def choose(
    texts: Sequence[str], uncertainties: Sequence[float], *, limit: int, labelled: Collection[int] = ()
) -> list[int]:
    """The places of at most `limit` texts, the first to be labelled first.

    Greedy: each time the text with the greatest product of its uncertainty and its distance to the nearest text chosen
    so far or labelled already (`labelled`: their places); so farthest-first traversal (Gonzalez 1985; for labelling:
    Sener and Savarese 2018), with uncertainties as weights. The distance is one less the cosine of bags of words and
    word pairs, rare ones counting more. Of a story (`models.training.splits.stories`) one text is chosen, and none when
    one of it is labelled; nor is one that the model is certain of. Among equals the first comes first.
    """
    story = np.array(stories(texts), dtype=np.int64)
    features = _features(texts)
    nearness = np.zeros(len(texts))
    left = np.asarray(uncertainties, dtype=np.float64).copy()
    known = np.array(sorted(labelled), dtype=np.int64)
    for start in range(0, len(known), _TOGETHER):
        nearness = np.maximum(nearness, (features @ features[known[start : start + _TOGETHER]].T).max(axis=1))
    left[np.isin(story, story[known])] = 0
    chosen: list[int] = []
    while len(chosen) < limit:
        worth = left * np.maximum(1 - nearness, 0)
        if not len(worth) or worth.max() <= 0:
            break
        place = int(worth.argmax())
        chosen.append(place)
        nearness = np.maximum(nearness, features @ features[place])
        left[story == story[place]] = 0
    return chosen


def _features(texts: Sequence[str]) -> NDArray[np.float32]:
    """Bags of hashed words and word pairs, weighted by inverse document frequency, of length 1; shape
    (texts, WIDTH)."""
    bags = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for number, text in enumerate(texts):
        words = _WORD.findall(text.lower())
        for word in (*words, *(f"{one} {two}" for one, two in itertools.pairwise(words))):
            bags[number, zlib.crc32(word.encode()) % WIDTH] = 1
    bags *= np.log((1 + len(texts)) / (1 + bags.sum(axis=0)))
    lengths = np.linalg.norm(bags, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(bags, lengths, out=np.zeros_like(bags), where=lengths > 0)
    return unit

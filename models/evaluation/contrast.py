"""Terse lines that are good for one company and bad for another: whether a model tells the two apart."""

from __future__ import annotations

from itertools import product

from models.evaluation.perturb import Mention

PAIRS = (
    ("Apple", "Samsung"),
    ("Boeing", "Airbus"),
    ("Tata Motors", "Maruti"),
    ("Okafor Industries", "Jansen Holdings"),
    ("Novak Holdings", "Iyer Industries"),
)
"""Some that everybody has read of, and some that there aren't."""
GOOD_AND_BAD = (
    ("beats", "warns"),
    ("beats estimates", "misses"),
    ("soars", "plunges"),
    ("gains", "loses"),
    ("raises its forecast", "cuts its forecast"),
    ("wins a contract", "faces a probe"),
    ("upgraded", "downgraded"),
)
JOINED = ("{}, {}", "{}; {}", "{} while {}", "{} as {}", "{}, but {}")


def lines() -> list[tuple[Mention, Mention]]:
    """Each line twice: asked about the name that it is good for, and about the one that it is bad for. All pairs, both
    ways round, the good news first and last."""
    found = []
    for (one, other), (good, bad), joined in product((*PAIRS, *(pair[::-1] for pair in PAIRS)), GOOD_AND_BAD, JOINED):
        parts = (f"{one} {good}", f"{other} {bad}")
        for first, second in (parts, parts[::-1]):
            text = joined.format(first, second)
            found.append((Mention(text=text, entity=one), Mention(text=text, entity=other)))
    return found

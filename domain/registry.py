"""Which models there are, which of them is in force, and how it came to that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.classification import ModelRef


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A model that may be promoted."""

    ref: ModelRef
    location: str
    """The absolute path of its folder, or the name of a model that ships: the same on every machine."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """How good it is (models.figures); empty when it was never measured."""
    registered_at: datetime


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """One change of the model in force. They are only ever added."""

    number: int
    """They are numbered in the order in which they came to hold, with gaps."""
    model: ModelRef | None
    """In force from here on; None: none is promoted, and the settings decide."""
    replaced: ModelRef | None
    """In force until here, likewise."""
    undoes: int | None
    """The number of the promotion that this one, a rollback, takes back; None for a promotion proper."""
    by: str
    reason: str
    forced: bool
    """Whether it was worse than what it replaced on a frozen evaluation set, and promoted all the same."""
    at: datetime


@dataclass(frozen=True, kw_only=True)
class TakeUp:
    """What came of it when a worker was to take a model up."""

    model: ModelRef
    worker: str
    """Host and process."""
    error: str | None
    """Why it goes on with the model it had; None: it runs this one."""
    at: datetime

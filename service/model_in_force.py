"""Which model is in force, and why: the one that the settings pin, else the promoted one, else the one that ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.registry import RegisteredModel
from service.settings import Settings


class Why(StrEnum):
    """What puts a model in force."""

    PINNED = "pinned by model.ref"
    PROMOTED = "promoted"
    SHIPPED = "the one that ships, since none is promoted"


@dataclass(frozen=True, kw_only=True)
class InForce:
    """The model in force."""

    why: Why
    location: str | None
    """What models.load_classifier takes; None is the default model that ships."""


def in_force(settings: Settings, promoted: Sequence[RegisteredModel]) -> InForce:
    """What holds with these settings while the registry says this (the newest promotion first)."""
    if settings.model.ref is not None:
        return InForce(why=Why.PINNED, location=settings.model.ref)
    if promoted:
        return InForce(why=Why.PROMOTED, location=promoted[0].location)
    return InForce(why=Why.SHIPPED, location=None)

"""Registering models, and the checks that stand before one is put in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.classification import ModelRef
from domain.errors import InvalidInput, PermanentError
from domain.ports import ModelRegistry
from domain.registry import Promotion, RegisteredModel
from service.stream_models import ModelLoader

if TYPE_CHECKING:
    from models.figures import Compared


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """A promotion that went through, and what was compared before."""

    promotion: Promotion
    compared: tuple[Compared, ...]
    """With the champion, task by task; empty when they share no frozen evaluation set."""


def register(registry: ModelRegistry, ref: str) -> RegisteredModel:
    """Make the model in a folder, or one that ships, known, with the figures that stand in its folder.

    Raises PermanentError when there is no such folder, or a file in it isn't the one that was sealed.
    """
    from models import figures
    from models.load import SHIPPED, find_folder

    folder = find_folder(ref)
    location = folder.name if folder.parent == SHIPPED else str(folder.resolve())
    return registry.register(_verified(folder), location=location, figures=figures.of_folder(folder))


def find(models: Sequence[RegisteredModel], wanted: str) -> RegisteredModel:
    """The model called NAME@VERSION, where the version may be cut short, or left out when there is but one. Raises
    InvalidInput (`model_unknown`, `model_ambiguous`)."""
    name, _, version = wanted.partition("@")
    found = [model for model in models if model.ref.name == name and model.ref.version.startswith(version)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInput("model_ambiguous", f"{wanted} may be {' or '.join(str(model.ref) for model in found)}")
    known = ", ".join(str(model.ref) for model in models) or "none yet"
    raise InvalidInput(
        "model_unknown", f"no model {wanted} is registered ({known}): groundswell models register FOLDER"
    )


def promote(
    registry: ModelRegistry, loader: ModelLoader, wanted: str, *, by: str, reason: str, force: bool
) -> Promoted:
    """Put a registered model in force once it has shown that it is whole, is the one that was registered, loads,
    answers and has the tasks of the stream.

    Raises PermanentError when it hasn't; InvalidInput (`model_worse`) when it is worse than the model in force on the
    frozen evaluation sets that they share, unless `force` is given; InvalidInput (`model_in_force`); and what the
    registry raises.
    """
    from models import figures
    from models.load import find_folder
    from stream.model_follower import load_proven

    model = find(registry.models(), wanted)
    champion = _champion(registry)
    if champion is not None and champion.ref == model.ref:
        raise InvalidInput("model_in_force", f"{model.ref} is in force already")
    folder = find_folder(model.location)
    if (found := _verified(folder)) != model.ref:
        raise PermanentError(
            f"{model.location} holds {found}, not {model.ref}: it was changed since it was registered; register it anew"
        )
    # It may have been measured since it was registered.
    model = registry.register(model.ref, location=model.location, figures=figures.of_folder(folder))
    compared = tuple(figures.compare(model.figures, _figures_of(champion)))
    worse = [one for one in compared if one.is_worse]
    if worse and not force:
        raise InvalidInput(
            "model_worse", f"{model.ref} is worse: {'; '.join(map(str, worse))}. --force promotes it all the same"
        )
    load_proven(loader.load, model)
    promotion = registry.promote(model.ref, replaces=_ref(champion), by=by, reason=reason, forced=bool(worse))
    return Promoted(promotion=promotion, compared=compared)


def rollback(registry: ModelRegistry, *, by: str, reason: str) -> Promotion:
    """Go back to what the newest promotion replaced. Raises InvalidInput (`nothing_promoted`)."""
    return registry.rollback(replaces=_ref(_champion(registry)), by=by, reason=reason)


def _champion(registry: ModelRegistry) -> RegisteredModel | None:
    return next(iter(registry.promoted()), None)


def _ref(model: RegisteredModel | None) -> ModelRef | None:
    return None if model is None else model.ref


def _figures_of(champion: RegisteredModel | None) -> Mapping[str, Any]:
    from models import figures
    from models.load import find_folder

    return figures.of_folder(find_folder(None)) if champion is None else champion.figures


def _verified(folder: Path) -> ModelRef:
    from models.folder import read_settings, verify

    settings = read_settings(folder)
    if not settings.files:
        raise PermanentError(f"{folder} was never sealed: export the model, so that its files can be told from others")
    verify(folder, settings, settings.files)
    return settings.ref

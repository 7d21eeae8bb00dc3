"""A model that was trained again on everything, once its sister was measured on what was held out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.errors import InvalidInput
from models.folder import ENCODER_FILE, ModelSettings

KEY = "refit_of"
"""In a folder's `training`: whose figures stand for those of the model there, which has learnt what they were found
on."""


def record(sister: ModelSettings) -> dict[str, Any]:
    """What the folder of the refitted model keeps of its sister. Raises InvalidInput when she is not as her training
    run left her: its configuration gives another network, then."""
    if ENCODER_FILE not in sister.files or "texts" not in sister.training:
        raise InvalidInput(
            "training_config", f"{sister.ref} is not what a training run gave (but smaller, say): refit that model"
        )
    return {
        "model": str(sister.ref),
        "weights": sister.files[ENCODER_FILE],
        "texts": sister.training["texts"],
    }


def sister_of(settings: ModelSettings) -> Mapping[str, Any] | None:
    """What `record` said, of a model that was trained again on everything; None of others."""
    return settings.training.get(KEY)


def check_sisters(refitted: ModelSettings, measured: ModelSettings) -> None:
    """Raise InvalidInput unless the figures of `measured` may stand for those of `refitted`."""
    kept = sister_of(refitted)
    if kept is None:
        raise InvalidInput(
            "evaluation_refit", f"{refitted.ref} was not trained on everything again (groundswell train --refit)"
        )
    # Its version may be another by now: temperatures and an int8 file are part of it.
    if kept["weights"] != measured.files.get(ENCODER_FILE):
        raise InvalidInput(
            "evaluation_refit", f"{refitted.ref} is {kept['model']} trained on everything, and not {measured.ref}"
        )

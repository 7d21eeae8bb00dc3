"""The models of a classify worker: the one in force, whoever exchanges it, and who looks on."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from domain.classification import ModelRef
from domain.errors import GroundswellError, TemporaryError
from domain.ports import Classifier, ModelRegistry, Names, ScoreObserver, Telemetry
from domain.registry import RegisteredModel
from service.settings import Settings

if TYPE_CHECKING:
    from models.drift import Distribution
    from stream.live_model import LiveModel, RunningModel
    from stream.model_follower import ModelFollower

log = logging.getLogger(__name__)

_ASK_AGAIN = 2.0
"""Seconds until a registry that is away is asked again."""


class ModelLoader:
    """Loads models as the settings say, and remembers what each of them said on its evaluation sets."""

    def __init__(self, settings: Settings, *, names: Names | None = None) -> None:
        """`names`: those that the stream looks for in texts."""
        self._settings = settings
        self._names = names or {}
        self._references: dict[ModelRef, Mapping[str, Distribution]] = {}

    def classifier(self, location: str | None) -> Classifier:
        """The model there. Raises PermanentError, naming the fix, when there is none or it is damaged."""
        from models import load_classifier

        section = self._settings.model
        return load_classifier(location, device=section.device, streams=section.streams, cache_size=section.cache_size)

    def challenger(self, location: str) -> Classifier:
        """The model there, proven, for the shadow: on a processor it takes one core at most. Raises like
        `classifier`."""
        from models import load_classifier
        from stream.live_model import prove

        challenger = load_classifier(location, device=self._settings.model.device, streams=1)
        prove(challenger)
        return challenger

    def load(self, model: RegisteredModel | None) -> RunningModel:
        """A registered model; without one, the model that ships. Raises like `classifier`."""
        return self.load_from(model.location if model else None)

    def load_from(self, location: str | None) -> RunningModel:
        """The model there, ready to be put into the stream. Raises like `classifier`."""
        from stream.live_model import RunningModel

        classifier = self.classifier(location)
        self._references[classifier.model] = _reference(location)
        return RunningModel(classifier=classifier, config_hash=config_hash(classifier, self._settings, self._names))

    def reference(self, model: ModelRef) -> Mapping[str, Distribution]:
        """What a model that was loaded said on its evaluation sets, by task; empty when nobody kept that."""
        return self._references.get(model, {})


def live_model(
    settings: Settings, registry: ModelRegistry | None, loader: ModelLoader, telemetry: Telemetry
) -> tuple[LiveModel, ModelFollower | None]:
    """The model that a worker starts with, and who exchanges it: nobody does without a registry to follow.

    Waits for a registry that is away: what another model than the promoted one would score could not be recorded
    meanwhile anyway. Raises PermanentError when there is no model that loads.
    """
    from stream.live_model import LiveModel
    from stream.model_follower import FollowPolicy, ModelFollower

    if registry is None:
        if settings.model.ref is None:
            log.info("postgres.dsn is not set: the model that ships runs, whatever is promoted")
        return LiveModel(loader.load_from(settings.model.ref)), None
    model, promoted = _newest_that_loads(_ask(registry), loader)
    live = LiveModel(model)
    follower = ModelFollower(
        live,
        registry=registry,
        load=loader.load,
        following=promoted,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        policy=FollowPolicy(every=settings.model.follow_every.total_seconds()),
        telemetry=telemetry,
    )
    return live, follower


def observers(settings: Settings, loader: ModelLoader, telemetry: Telemetry) -> tuple[ScoreObserver, ...]:
    """Who looks on: the monitor, and the challenger where there is one."""
    from models.monitor import Monitor
    from models.shadow import Shadow, ShadowPolicy

    window, shadow, ref = settings.model.drift_window, settings.shadow, settings.shadow.ref
    monitor = Monitor(loader.reference, window=window, telemetry=telemetry)
    if ref is None:
        return (monitor,)
    policy = ShadowPolicy(share=shadow.share, max_queued=shadow.max_queued, window=window)
    return (monitor, Shadow(lambda: loader.challenger(ref), policy=policy, telemetry=telemetry))


def config_hash(model: Classifier, settings: Settings, names: Names) -> str:
    """Names what, beside the text, shaped a score: hex BLAKE2b-64 of the model, how it was run, and the names that it
    was told of."""
    shaped_by: dict[str, object] = {"model": str(model.model), "device": settings.model.device}
    if names:
        shaped_by["names"] = {symbol: list(given) for symbol, given in names.items()}
    return hashlib.blake2b(json.dumps(shaped_by, sort_keys=True).encode(), digest_size=8).hexdigest()


def _newest_that_loads(
    promoted: Sequence[RegisteredModel], loader: ModelLoader
) -> tuple[RunningModel, ModelRef | None]:
    """With the promotion that it is of (None: none). Where the newest one does not load it is what a rollback would
    lead to; the follower tries the newest one again."""
    from stream.model_follower import load_proven

    for model in {model.ref: model for model in promoted}.values():
        try:
            return load_proven(loader.load, model), model.ref
        except Exception as error:  # whatever a damaged folder makes a library raise
            log.error("%s is promoted and can't be taken up, the one before it is tried: %s", model.ref, error)
    return loader.load(None), None


def _ask(registry: ModelRegistry) -> Sequence[RegisteredModel]:
    said = False
    while True:
        try:
            return registry.promoted()
        except TemporaryError as error:
            if not said:
                log.warning("waiting for the registry of models, which says which one to load: %s", error)
            said = True
            time.sleep(_ASK_AGAIN)


def _reference(location: str | None) -> Mapping[str, Distribution]:
    from models import figures
    from models.load import find_folder

    try:
        return figures.reference(figures.of_folder(find_folder(location)))
    except GroundswellError as error:
        log.info("there is no reference for the drift of this model: %s", error)
        return {}

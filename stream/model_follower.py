"""Follows the registry: takes the promoted model up while the flow goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from domain.classification import ModelRef
from domain.errors import GroundswellError, PermanentError
from domain.ports import ModelRegistry, Telemetry
from domain.registry import RegisteredModel
from stream.live_model import LiveModel, RunningModel, prove

log = logging.getLogger(__name__)

Load = Callable[[RegisteredModel | None], RunningModel]
"""Loads a registered model; without one, the model that runs while none is promoted. Blocking, seconds long."""


class Look(StrEnum):
    """What came of a look at the registry."""

    UNCHANGED = "unchanged"
    SWAPPED = "swapped"
    FAILED = "failed"
    """The promoted model does not load or does not answer; the one until now goes on."""
    WAITING = "waiting"
    """It failed before, and it is not time yet to try again."""
    AWAY = "away"
    """The registry can't be asked; what runs goes on."""


@dataclass(frozen=True, kw_only=True)
class FollowPolicy:
    """Times in seconds."""

    every: float = 5.0
    """How often the registry is asked."""
    retry_first: float = 30.0
    retry_most: float = 600.0
    """After how long a model that failed is tried again: doubles from the first to the most."""


@dataclass(frozen=True, kw_only=True)
class _Failure:
    wanted: RegisteredModel | None
    error: str
    retry_at: float
    delay: float


class ModelFollower:
    """Asks the registry which model is in force, loads a new one beside the old one, proves it, and lets the next
    batch have it. All in a thread of its own."""

    def __init__(
        self,
        live: LiveModel,
        *,
        registry: ModelRegistry,
        load: Load,
        following: ModelRef | None,
        worker: str,
        policy: FollowPolicy,
        telemetry: Telemetry,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`following`: the promotion that `live` was loaded for; None: none was. `worker` names this process in what
        it reports. `monotonic`: seconds."""
        self._live = live
        self._registry = registry
        self._load = load
        self._following = following
        self._worker = worker
        self._policy = policy
        self._telemetry = telemetry
        self._monotonic = monotonic
        self._failure: _Failure | None = None
        self._away = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="model-follower")

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns at once. The thread ends once a model that it loads is there."""
        self._stopping.set()

    def look(self) -> Look:
        """Ask the registry once, and take up what it names."""
        try:
            wanted = next(iter(self._registry.promoted()), None)
        except GroundswellError as error:
            if not self._away:
                log.warning("the registry of models can't be asked, %s goes on: %s", self._running, error)
            self._away = True
            return Look.AWAY
        if self._away:
            log.info("the registry of models can be asked again")
            self._away = False
        if _ref(wanted) == self._following:
            self._failure = None
            return Look.UNCHANGED
        failure = self._failure
        if failure is not None and failure.wanted == wanted and self._monotonic() < failure.retry_at:
            return Look.WAITING
        return self._take_up(wanted)

    def _follow(self) -> None:
        if self._following is not None:
            self._report(self._following, error=None)  # what it started with
        while not self._stopping.wait(self._policy.every):
            try:
                self.look()
            except Exception:
                log.exception("looking at the registry of models failed, %s goes on", self._running)

    def _take_up(self, wanted: RegisteredModel | None) -> Look:
        log.info("taking %s up beside %s", wanted.ref if wanted else "the model that ships", self._running)
        try:
            model = load_proven(self._load, wanted)
        except Exception as error:  # whatever a damaged folder makes a library raise, the old model goes on
            self._fail(wanted, error)
            return Look.FAILED
        replaced = self._live.replace(model).classifier.model
        self._following, self._failure = _ref(wanted), None
        log.info("%s takes over from %s", self._running, replaced)
        if replaced != self._running:
            self._telemetry.gauge("model_info", 0, model=replaced.name, version=replaced.version)
        show_running(self._telemetry, self._running)
        self._telemetry.count("model_swaps_total", outcome=Look.SWAPPED.value)
        self._report(self._running, error=None)
        return Look.SWAPPED

    def _fail(self, wanted: RegisteredModel | None, error: Exception) -> None:
        text = str(error) if isinstance(error, GroundswellError) else f"{type(error).__name__}: {error}"
        before = self._failure if self._failure is not None and self._failure.wanted == wanted else None
        delay = self._policy.retry_first if before is None else min(before.delay * 2, self._policy.retry_most)
        self._failure = _Failure(wanted=wanted, error=text, retry_at=self._monotonic() + delay, delay=delay)
        self._telemetry.count("model_swaps_total", outcome=Look.FAILED.value)
        if before is None or before.error != text:
            name = wanted.ref if wanted else "the model that ships"
            log.error("%s can't be taken up, %s goes on: %s", name, self._running, text)
            if wanted is not None:
                self._report(wanted.ref, error=text)

    def _report(self, model: ModelRef, *, error: str | None) -> None:
        try:
            self._registry.report(model, worker=self._worker, error=error)
        except GroundswellError as unreported:
            log.warning("the registry of models can't be told of %s: %s", model, unreported)

    @property
    def _running(self) -> ModelRef:
        return self._live.get().classifier.model


def load_proven(load: Load, wanted: RegisteredModel | None) -> RunningModel:
    """Load a model and prove it. Raises PermanentError when it isn't fit for the stream, or isn't the model that was
    registered; what loading raises passes through."""
    model = load(wanted)
    found = model.classifier.model
    if wanted is not None and found != wanted.ref:
        raise PermanentError(
            f"{wanted.location} holds {found}, not {wanted.ref}: it was changed since it was registered"
        )
    prove(model.classifier)
    return model


def show_running(telemetry: Telemetry, model: ModelRef) -> None:
    """Say in the metrics which model runs."""
    telemetry.gauge("model_info", 1, model=model.name, version=model.version)


def _ref(model: RegisteredModel | None) -> ModelRef | None:
    return None if model is None else model.ref

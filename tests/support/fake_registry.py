"""ModelRegistry in memory; it passes the contract suite of the real one."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from domain.classification import ModelRef
from domain.errors import Conflict, InvalidInput, TemporaryError
from domain.registry import Promotion, RegisteredModel, TakeUp


class FakeModelRegistry:
    """domain.ports.ModelRegistry. While `away` is set every call raises TemporaryError with it."""

    def __init__(self) -> None:
        self.away: str | None = None
        self._models: dict[ModelRef, RegisteredModel] = {}
        self._promotions: list[Promotion] = []
        self._take_ups: list[TakeUp] = []
        self._lock = threading.Lock()

    def register(self, ref: ModelRef, *, location: str, figures: Mapping[str, Any]) -> RegisteredModel:
        with self._asked():
            known = self._models.get(ref)
            at = known.registered_at if known else datetime.now(UTC)
            self._models[ref] = RegisteredModel(ref=ref, location=location, figures=dict(figures), registered_at=at)
            return self._models[ref]

    def models(self) -> Sequence[RegisteredModel]:
        with self._asked():
            return sorted(self._models.values(), key=lambda model: model.registered_at, reverse=True)

    def promoted(self) -> Sequence[RegisteredModel]:
        with self._asked():
            return [self._models[one.model] for one in self._standing() if one.model]

    def promote(
        self, ref: ModelRef, *, replaces: ModelRef | None, by: str, reason: str, forced: bool = False
    ) -> Promotion:
        with self._asked():
            self._expect(replaces)
            if ref not in self._models:
                raise InvalidInput("model_unknown", f"{ref} is not registered")
            return self._add(model=ref, replaced=replaces, undoes=None, by=by, reason=reason, forced=forced)

    def rollback(self, *, replaces: ModelRef | None, by: str, reason: str) -> Promotion:
        with self._asked():
            self._expect(replaces)
            match self._standing():
                case []:
                    raise InvalidInput("nothing_promoted", "no model is promoted")
                case [newest, *before]:
                    back_to = before[0].model if before else None
            return self._add(model=back_to, replaced=replaces, undoes=newest.number, by=by, reason=reason, forced=False)

    def promotions(self, limit: int = 20) -> Sequence[Promotion]:
        with self._asked():
            return self._promotions[::-1][:limit]

    def report(self, model: ModelRef, *, worker: str, error: str | None) -> None:
        with self._asked():
            self._take_ups.append(TakeUp(model=model, worker=worker, error=error, at=datetime.now(UTC)))

    def take_ups(self, limit: int = 100) -> Sequence[TakeUp]:
        with self._asked():
            return self._take_ups[::-1][:limit]

    def _asked(self) -> threading.Lock:
        if self.away is not None:
            raise TemporaryError(self.away)
        return self._lock

    def _standing(self) -> list[Promotion]:
        undone = {one.undoes for one in self._promotions}
        return [one for one in self._promotions[::-1] if one.undoes is None and one.number not in undone]

    def _expect(self, replaces: ModelRef | None) -> None:
        standing = self._standing()
        actual = standing[0].model if standing else None
        if actual != replaces:
            raise Conflict(f"{actual} is in force, not {replaces}")

    def _add(self, **values: Any) -> Promotion:
        made = Promotion(number=len(self._promotions) + 1, at=datetime.now(UTC), **values)
        self._promotions.append(made)
        return made

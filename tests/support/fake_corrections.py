"""Corrections in memory; it passes the contract suite of the real ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from support.fake_store import FakeDocuments

from domain.correction import Correction, DocumentsUnknown, StandingCorrection


class FakeCorrections:
    """domain.ports.Corrections of the documents in a FakeDocuments."""

    def __init__(self, documents: FakeDocuments) -> None:
        self._documents = documents
        self._added: list[tuple[Correction, datetime]] = []

    def add(self, corrections: Sequence[Correction]) -> None:
        if unknown := {one.document_id for one in corrections} - self._documents.by_id.keys():
            raise DocumentsUnknown(unknown)
        self._added += [(one, datetime.now(UTC)) for one in corrections]

    def standing(self, *, task: str | None = None, limit: int | None = None) -> Sequence[StandingCorrection]:
        newest = {(one.document_id, one.task, one.entity): (one, at) for one, at in self._added}
        standing = [
            StandingCorrection(
                correction=one, text=self._documents.by_id[one.document_id].scored.document.content, recorded_at=at
            )
            for one, at in self._added
            if newest[one.document_id, one.task, one.entity] == (one, at)
            and one.label is not None
            and task in (None, one.task)
        ]
        return standing if limit is None else standing[-limit:]

    def standing_of(self, ids: Collection[str]) -> Sequence[Correction]:
        return [one.correction for one in self.standing() if one.correction.document_id in ids]

    def corrected(self, ids: Collection[str], tasks: Collection[str]) -> set[str]:
        return {
            one.correction.document_id
            for one in self.standing()
            if one.correction.document_id in ids and one.correction.task in tasks
        }

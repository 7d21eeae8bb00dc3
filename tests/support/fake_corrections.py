"""Corrections in memory; it passes the contract suite of the real ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from support.fake_store import FakeDocuments

from domain.correction import Correction, StandingCorrection
from domain.errors import InvalidInput


class FakeCorrections:
    """domain.ports.Corrections of the documents in a FakeDocuments."""

    def __init__(self, documents: FakeDocuments) -> None:
        self._documents = documents
        self._added: list[tuple[Correction, datetime]] = []

    def add(self, corrections: Sequence[Correction]) -> None:
        for one in corrections:
            if one.document_id not in self._documents.by_id:
                raise InvalidInput("document_unknown", f"no document {one.document_id!r}")
        self._added += [(one, datetime.now(UTC)) for one in corrections]

    def standing(self, *, task: str | None = None) -> Sequence[StandingCorrection]:
        newest = {(one.document_id, one.task, one.entity): (one, at) for one, at in self._added}
        return [
            StandingCorrection(
                correction=one, text=self._documents.by_id[one.document_id].scored.document.content, recorded_at=at
            )
            for one, at in self._added
            if newest[one.document_id, one.task, one.entity] == (one, at)
            and one.label is not None
            and task in (None, one.task)
        ]

    def corrected(self, ids: Collection[str], tasks: Collection[str]) -> set[str]:
        return {
            one.correction.document_id
            for one in self.standing()
            if one.correction.document_id in ids and one.correction.task in tasks
        }

"""What a person says of a document, where a model was wrong."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from domain.errors import InvalidInput

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Correction:
    """The label that a document should have had. The newest one of a document, task and entity counts."""

    document_id: str
    """As the sender gave it."""
    task: str
    label: str | None
    """None: withdrawn, the model is believed again."""
    entity: str | None = None
    """The symbol that the label is about, for a task of entities."""
    by: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class StandingCorrection:
    """A correction that counts, with the document that it is about."""

    correction: Correction
    text: str
    """What the classifier reads: the title and the text."""
    recorded_at: datetime


class DocumentsUnknown(InvalidInput):
    """The history holds no documents with these ids (`document_unknown`)."""

    def __init__(self, ids: Collection[str]) -> None:
        named = ", ".join(repr(one) for one in sorted(ids)[:_MOST_NAMED])
        others = f" and {len(ids) - _MOST_NAMED} others" if len(ids) > _MOST_NAMED else ""
        super().__init__("document_unknown", f"the history holds no document with the id {named}{others}")
        self.ids = frozenset(ids)

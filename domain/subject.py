"""What is watched: a topic, or an entity (a symbol)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.classification import ScoredDocument


class SubjectKind(StrEnum):
    """The namespaces of subjects."""

    TOPIC = "topic"
    ENTITY = "entity"


@dataclass(frozen=True, order=True)
class Subject:
    """A watched subject; written `topic:Energy | Oil` or `entity:AAPL`."""

    kind: SubjectKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> Subject:
        """The inverse of str(). Raises ValueError naming the allowed forms."""
        kind, colon, name = text.partition(":")
        if not colon or not name or kind not in set(SubjectKind):
            raise ValueError(f"a subject is written topic:NAME or entity:SYMBOL, got {text!r}")
        return cls(SubjectKind(kind), name)


def subjects_of(scored: ScoredDocument) -> tuple[Subject, ...]:
    """The subjects that a document concerns: its topic, then each of its symbols; none when it has no score."""
    if scored.classification is None:
        return ()
    topic = Subject(SubjectKind.TOPIC, scored.classification.topic)
    return (topic, *(Subject(SubjectKind.ENTITY, symbol) for symbol in scored.document.symbols))

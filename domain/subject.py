"""What is watched: a topic, or an entity (a symbol)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.classification import ScoredDocument, Sentiment


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
    return tuple(subject for subject, _ in sentiments_of(scored))


def sentiments_of(scored: ScoredDocument) -> tuple[tuple[Subject, Sentiment], ...]:
    """The subjects of `subjects_of`, each with what the document says of it: of its topic the document's sentiment, of
    a symbol what is said of that one where the text names it."""
    classification = scored.classification
    if classification is None:
        return ()
    return (
        (Subject(SubjectKind.TOPIC, classification.topic), classification.sentiment),
        *(
            (Subject(SubjectKind.ENTITY, symbol), classification.sentiment_of(symbol))
            for symbol in scored.document.symbols
        ),
    )

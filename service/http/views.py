"""What the API says of documents and subjects, in JSON: the domain's objects with times in RFC 3339 and
`null` for what is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from domain.classification import Label, ModelRef, Sentiment, Unscored
from domain.correction import Correction
from domain.document import Kind
from domain.ports import StoredDocument, SubjectSummary
from domain.subject import subjects_of
from domain.timeline import start_of
from domain.window import Counts, WindowStats


class View(BaseModel):
    """What all views have in common."""

    model_config = ConfigDict(frozen=True)


class SentimentView(View):
    """Probabilities that sum to 1, and polarity = positive − negative, in [−1, 1]."""

    label: Label
    negative: float
    neutral: float
    positive: float
    polarity: float

    @classmethod
    def of(cls, sentiment: Sentiment) -> Self:
        """From the domain."""
        return cls(
            label=sentiment.label,
            negative=sentiment.negative,
            neutral=sentiment.neutral,
            positive=sentiment.positive,
            polarity=sentiment.polarity,
        )


class ModelView(View):
    """Which model spoke."""

    name: str
    version: str

    @classmethod
    def of(cls, model: ModelRef) -> Self:
        """From the domain."""
        return cls(name=model.name, version=model.version)


class DocumentView(View):
    """A document as the history holds it."""

    id: str
    kind: Kind
    published_at: datetime
    received_at: datetime
    recorded_at: datetime
    late: bool
    source: str | None
    author: str | None
    publisher: str | None
    title: str | None
    text: str
    url: str | None
    lang: str | None
    symbols: tuple[str, ...]
    subjects: tuple[str, ...] = Field(examples=[["topic:Energy | Oil", "entity:XOM"]])
    topic: str | None
    sentiment: SentimentView | None
    entities: dict[str, SentimentView] = Field(
        description="What is said of those of the symbols that the text names; of others its sentiment counts."
    )
    corrected: dict[str, str] = Field(
        description="By task, the label that a person gives in place of the model's; only what was corrected.",
        examples=[{"sentiment": "neutral"}],
    )
    corrected_entities: dict[str, dict[str, str]] = Field(
        description="The same by symbol, for tasks of entities.", examples=[{"XOM": {"entity_sentiment": "negative"}}]
    )
    unscored: Unscored | None = Field(description="Why there is no score; null when there is one.")
    model: ModelView | None
    input_hash: str | None
    config_hash: str

    @classmethod
    def of(cls, stored: StoredDocument, corrections: Sequence[Correction]) -> Self:
        """From the domain; `corrections`: what stands of this document."""
        scored, document = stored.scored, stored.scored.document
        classification = scored.classification
        return cls(
            id=document.id,
            kind=document.kind,
            published_at=document.published_at,
            received_at=document.received_at,
            recorded_at=stored.recorded_at,
            late=stored.late,
            source=document.source,
            author=document.author,
            publisher=document.publisher,
            title=document.title,
            text=document.text,
            url=document.url,
            lang=document.lang,
            symbols=document.symbols,
            subjects=tuple(str(subject) for subject in subjects_of(scored)),
            topic=classification.topic if classification else None,
            sentiment=SentimentView.of(classification.sentiment) if classification else None,
            entities=(
                {symbol: SentimentView.of(classification.sentiment_of(symbol)) for symbol in classification.entities}
                if classification
                else {}
            ),
            corrected=_labels(corrections, None),
            corrected_entities={one.entity: _labels(corrections, one.entity) for one in corrections if one.entity},
            unscored=scored.unscored,
            model=ModelView.of(classification.model) if classification else None,
            input_hash=classification.input_hash if classification else None,
            config_hash=scored.config_hash,
        )


class DocumentsView(View):
    """One page of documents, the newest first."""

    documents: list[DocumentView]
    cursor: str | None = Field(description="Pass it on as `cursor` to get the next page; null at the end.")


class CountsView(View):
    """Sums over documents. Share and polarity are null when there are none: a silent source is not a calm one."""

    count: int
    negative: int
    neutral: int
    positive: int
    negative_share: float | None = Field(examples=[0.25])
    polarity_mean: float | None = Field(examples=[-0.12])
    polarity_variance: float | None = Field(examples=[0.31])


class WindowView(CountsView):
    """One window, [start, end)."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, stats: WindowStats) -> Self:
        """From the domain."""
        return cls(start=stats.start, end=stats.end, **_sums(stats.counts))


class WindowsView(View):
    """Consecutive windows of one subject over [start, end)."""

    subject: str = Field(examples=["topic:Energy | Oil"])
    start: datetime
    end: datetime
    step_seconds: int = Field(examples=[900])
    watermark: datetime | None = Field(description="Windows that end by then are final; null while it is unknown.")
    windows: list[WindowView]


class SubjectView(CountsView):
    """A subject, and its sums over the span that was asked for."""

    subject: str = Field(examples=["entity:AAPL"])
    last_minute: datetime = Field(description="The newest minute that has a document on it.")

    @classmethod
    def of(cls, summary: SubjectSummary) -> Self:
        """From the domain."""
        return cls(
            subject=str(summary.subject),
            last_minute=start_of(summary.last_minute),
            **_sums(summary.counts),
        )


class SubjectsView(View):
    """Subjects, the busiest first."""

    subjects: list[SubjectView]


def _labels(corrections: Sequence[Correction], entity: str | None) -> dict[str, str]:
    """Task → label of what is said of the symbol, or of the whole document."""
    return {one.task: one.label for one in corrections if one.entity == entity and one.label is not None}


def _sums(counts: Counts) -> dict[str, Any]:
    return {
        "count": counts.count,
        "negative": counts.negative,
        "neutral": counts.neutral,
        "positive": counts.positive,
        "negative_share": counts.negative_share,
        "polarity_mean": counts.polarity_mean,
        "polarity_variance": counts.polarity_variance,
    }

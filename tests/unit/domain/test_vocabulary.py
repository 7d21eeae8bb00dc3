"""The small promises of the vocabulary: identities, sums, views."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.alert import Alert, AlertStatus, Severity, Transition, webhook_id
from domain.classification import Classification, Label, ModelRef, Sentiment
from domain.document import Document, Kind
from domain.subject import Subject, SubjectKind
from domain.timeline import minute_of, start_of
from domain.window import Counts, WindowStats

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
OIL = Subject(SubjectKind.TOPIC, "Energy | Oil")


def document(**changes: object) -> Document:
    fields: dict[str, object] = {
        "id": "a",
        "kind": Kind.NEWS,
        "text": "Oil falls",
        "published_at": NOON,
        "received_at": NOON,
    }
    return Document(**(fields | changes))  # type: ignore[arg-type]


def test_a_subject_reads_back_what_it_writes() -> None:
    assert Subject.parse(str(OIL)) == OIL
    assert Subject.parse("entity:BRK:B").name == "BRK:B"


@pytest.mark.parametrize("text", ["", "Oil", "topic:", "company:AAPL", ":AAPL"])
def test_what_is_not_a_subject_is_refused_with_the_allowed_forms(text: str) -> None:
    with pytest.raises(ValueError, match="topic:NAME or entity:SYMBOL"):
        Subject.parse(text)


def test_times_must_be_utc() -> None:
    with pytest.raises(ValueError, match="published_at"):
        document(published_at=NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="received_at"):
        document(received_at=NOON.astimezone(timezone(timedelta(hours=1))))


def test_the_publisher_is_the_source_of_news_and_the_author_of_a_comment() -> None:
    assert document(source="Wire", author="Ann").publisher == "Wire"
    assert document(kind=Kind.COMMENT, source="Forum", author="Ann").publisher == "Ann"
    assert document(author="Ann").publisher is None


def test_the_classifier_reads_the_title_once() -> None:
    assert document(title="Title").content == "Title\n\nOil falls"
    assert document(title="Oil").content == "Oil falls"


def test_the_key_is_16_bytes_and_depends_on_the_id_alone() -> None:
    assert len(document().key) == 16
    assert document(text="other").key == document().key
    assert document(id="b").key != document().key


@pytest.mark.parametrize("values", [(0.5, 0.6, 0.0), (-0.1, 0.6, 0.5), (math.nan, 0.5, 0.5)])
def test_sentiment_must_be_a_distribution(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        Sentiment(negative=values[0], neutral=values[1], positive=values[2])


def test_among_equals_the_worse_label_wins() -> None:
    assert Sentiment(negative=0.4, neutral=0.2, positive=0.4).label is Label.NEGATIVE
    assert Sentiment(negative=0.2, neutral=0.4, positive=0.4).label is Label.NEUTRAL


def test_the_topic_is_the_most_probable_and_among_equals_the_first_by_name() -> None:
    model = ModelRef(name="m", version="1")
    tasks = {"topic": {"Macro": 0.4, "IPO": 0.4, "Gold": 0.2}}
    assert Classification(tasks=tasks, model=model, input_hash="").topic == "IPO"


@given(st.integers(min_value=0, max_value=10**8))
def test_minutes_and_instants_agree(minute: int) -> None:
    assert minute_of(start_of(minute)) == minute
    assert minute_of(start_of(minute) + timedelta(seconds=59, microseconds=999_999)) == minute


@given(st.lists(st.integers(min_value=-10_000, max_value=10_000), min_size=1, max_size=50))
def test_mean_and_variance_equal_the_batch_recomputation(polarities: list[int]) -> None:
    total = Counts()
    for polarity in polarities:
        total += Counts(1, 0, 1, 0, polarity, polarity**2)
    stats = WindowStats(subject=OIL, start=NOON, end=NOON + timedelta(minutes=1), counts=total)
    values = [polarity / 10_000 for polarity in polarities]
    mean = sum(values) / len(values)
    assert stats.polarity_mean == pytest.approx(mean)
    assert stats.polarity_variance == pytest.approx(sum((value - mean) ** 2 for value in values) / len(values))


def test_an_empty_window_is_unknown_not_calm() -> None:
    stats = WindowStats(subject=OIL, start=NOON, end=NOON, counts=Counts())
    assert stats.polarity_mean is None
    assert stats.polarity_variance is None
    assert stats.negative_share is None


def test_a_webhook_id_depends_on_rule_subject_start_and_transition_only() -> None:
    def alert(**changes: object) -> Alert:
        fields: dict[str, object] = {
            "rule": "surge",
            "subject": OIL,
            "severity": Severity.CRITICAL,
            "status": AlertStatus.FIRING,
            "starts_at": NOON,
            "value": 12.0,
            "baseline": 1.0,
            "baseline_minutes": 60,
        }
        return Alert(**(fields | changes))  # type: ignore[arg-type]

    first = webhook_id(alert(), Transition.FIRING)
    assert first == webhook_id(alert(value=99.0, status=AlertStatus.RESOLVED), Transition.FIRING)
    others = {
        webhook_id(alert(rule="other"), Transition.FIRING),
        webhook_id(alert(subject=Subject(SubjectKind.ENTITY, "XOM")), Transition.FIRING),
        webhook_id(alert(starts_at=NOON + timedelta(minutes=1)), Transition.FIRING),
        webhook_id(alert(), Transition.RESOLVED),
    }
    assert len(others | {first}) == 5


def test_the_sentiment_of_a_symbol_is_the_documents_where_the_text_does_not_name_it() -> None:
    good, bad = ({"negative": bad, "neutral": 0.1, "positive": 0.9 - bad} for bad in (0.0, 0.9))
    model = ModelRef(name="m", version="1")
    answer = Classification(tasks={"sentiment": good}, model=model, input_hash="", entities={"NGB": bad})
    assert answer.sentiment_of("NGB").label is Label.NEGATIVE
    assert answer.sentiment_of("AAPL") == answer.sentiment
    assert Classification(tasks={"sentiment": good}, model=model, input_hash="").sentiment_of("NGB") == answer.sentiment


def test_a_sentiment_that_a_model_does_not_know_has_no_probability() -> None:
    model = ModelRef(name="m", version="1")
    answer = Classification(tasks={"sentiment": {"positive": 0.3, "negative": 0.7}}, model=model, input_hash="")
    assert answer.sentiment == Sentiment(negative=0.7, neutral=0.0, positive=0.3)

"""What receivers get, byte for byte. After an intended change, `python tests/golden/alerts/test_rendered_alerts.py`
writes the files anew."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3])]

import jsonschema
import pytest
from support.builders import at, make_alert, topic

from alerts.payload import EXCERPT, render
from domain.alert import Alert, AlertStatus, Evidence, EvidenceDocument, PublisherCount, Severity, Transition
from domain.classification import ModelRef, Sentiment
from domain.document import Kind

HERE = Path(__file__).parent
SCHEMA = HERE.parents[2] / "docs" / "webhook.schema.json"

MODEL = ModelRef(name="groundswell-minilm", version="3f9a2c")

WIRE = EvidenceDocument(
    id="wire-1",
    kind=Kind.NEWS,
    published_at=at(118, seconds=12.25),
    publisher="Example Wire",
    title="Pipeline operator halts exports",
    text='The operator said "no date" was set for a restart; shares fell 14 % in São Paulo. 🛢',
    url="https://wire.example/1?a=1&b=2",
    sentiment=Sentiment(negative=0.96125, neutral=0.03, positive=0.00875),
    model=MODEL,
)
COMMENT = EvidenceDocument(
    id="comment-7",
    kind=Kind.COMMENT,
    published_at=at(119),
    publisher=None,
    title=None,
    text="down, down, " * 100,
    url=None,
    sentiment=Sentiment(negative=2 / 3, neutral=1 / 6, positive=1 / 6),
    model=MODEL,
)
EVIDENCE = Evidence(
    window_start=at(108),
    window_end=at(123),
    count=31,
    negative=24,
    negative_share=24 / 31,
    negative_publishers=9,
    expected_negative=7 * 15 / 1110,
    baseline_minutes=1110,
    documents=(WIRE, COMMENT),
    publishers=(PublisherCount(publisher="Example Wire", negative=5), PublisherCount(publisher=None, negative=2)),
    models=(MODEL,),
)
FIRING = replace(
    make_alert(topic("Energy | Oil"), severity=Severity.CRITICAL, starts_at=at(122), value=24, baseline=7 * 15 / 1110),
    status=AlertStatus.FIRING,
    fired_at=at(123),
    evidence=EVIDENCE,
)
RESOLVED = replace(FIRING, status=AlertStatus.RESOLVED, value=3, clear_since=at(140), ends_at=at(145))
OUT_OF_NOTHING = replace(FIRING, evidence=replace(EVIDENCE, expected_negative=0.0, documents=(), models=()))

CASES = {
    "firing": (FIRING, Transition.FIRING),
    "resolved": (RESOLVED, Transition.RESOLVED),
    "firing_with_nothing_expected": (OUT_OF_NOTHING, Transition.FIRING),
}


@pytest.mark.parametrize("name", CASES)
def test_an_alert_is_rendered_as_it_always_was(name: str) -> None:
    assert render(*CASES[name]) == (HERE / f"{name}.json").read_bytes().rstrip(b"\n")


@pytest.mark.parametrize("name", CASES)
def test_what_is_rendered_is_what_the_schema_promises(name: str) -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(render(*CASES[name])))


def test_a_resolved_alert_still_renders_that_it_fired_as_it_did() -> None:
    """But for the newest value: whoever renders a transition does it when it is made."""
    again = json.loads(render(replace(RESOLVED, value=FIRING.value), Transition.FIRING))
    assert again == json.loads(render(FIRING, Transition.FIRING))


def test_floats_that_a_store_keeps_less_exactly_give_the_same_bytes() -> None:
    rounded = replace(WIRE, sentiment=Sentiment(negative=0.96125001, neutral=0.02999999, positive=0.00875))
    again = replace(FIRING, evidence=replace(EVIDENCE, documents=(rounded, COMMENT)))
    assert render(again, Transition.FIRING) == render(FIRING, Transition.FIRING)


def test_long_texts_are_cut_and_say_so() -> None:
    first, second = json.loads(render(FIRING, Transition.FIRING))["data"]["documents"]
    assert (first["text_cut"], second["text_cut"]) == (False, True)
    assert len(second["text"]) == EXCERPT


def test_ten_long_documents_stay_near_the_size_that_receivers_are_used_to() -> None:
    full = replace(FIRING, evidence=replace(EVIDENCE, documents=(COMMENT,) * 10))
    assert len(render(full, Transition.FIRING)) < 20_000


@pytest.mark.parametrize(
    ("alert", "transition"),
    [(make_alert(), Transition.FIRING), (FIRING, Transition.RESOLVED)],
)
def test_a_transition_that_was_not_made_cannot_be_rendered(alert: Alert, transition: Transition) -> None:
    with pytest.raises(ValueError, match="has not made the transition"):
        render(alert, transition)


if __name__ == "__main__":
    for case, (alert, transition) in CASES.items():
        (HERE / f"{case}.json").write_bytes(render(alert, transition) + b"\n")

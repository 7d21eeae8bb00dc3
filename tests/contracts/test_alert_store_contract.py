"""What domain.ports.AlertStore promises, on every implementation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.builders import MODEL, at, entity, make_alert, make_change
from support.fake_store import FakeAlertStore

from domain.alert import Alert, AlertStatus, Evidence, EvidenceDocument, PublisherCount, Transition
from domain.classification import Sentiment
from domain.document import Kind
from domain.errors import Conflict
from domain.ports import AlertStore, Outbox, WatchState
from domain.timeline import minute_of
from store.postgres.alerts import PostgresAlertStore
from store.postgres.connection import Postgres
from store.postgres.outbox import PostgresOutbox

M = minute_of(at())
PENDING = make_alert()
FIRING = replace(
    PENDING,
    status=AlertStatus.FIRING,
    fired_at=at(2),
    value=31,
    evidence=Evidence(
        window_start=at(-13),
        window_end=at(2),
        count=40,
        negative=31,
        negative_share=0.775,
        negative_publishers=4,
        expected_negative=2.5,
        baseline_minutes=600,
        documents=(
            EvidenceDocument(
                id="näive ☂",
                kind=Kind.COMMENT,
                published_at=at(1, 0.25),
                publisher=None,
                title=None,
                text='a "quoted" \\ text',
                url=None,
                sentiment=Sentiment(negative=0.9000000001, neutral=0.0999999999, positive=0.0),
                model=MODEL,
            ),
        ),
        publishers=(PublisherCount(publisher=None, negative=20), PublisherCount(publisher="Wire", negative=11)),
        models=(MODEL,),
    ),
)
RESOLVED = replace(FIRING, status=AlertStatus.RESOLVED, clear_since=at(20), ends_at=at(30))
LATER = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.servers)])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[AlertStore, Outbox]]:
    if request.param == "memory":
        fake = FakeAlertStore()
        yield fake, fake.outbox
        return
    postgres = Postgres(request.getfixturevalue("database"), application_name="test")
    yield PostgresAlertStore(postgres), PostgresOutbox(postgres)
    postgres.close()


@pytest.fixture
def store(both: tuple[AlertStore, Outbox]) -> AlertStore:
    return both[0]


@pytest.fixture
def outbox(both: tuple[AlertStore, Outbox]) -> Outbox:
    return both[1]


def test_a_new_store_has_evaluated_nothing(store: AlertStore) -> None:
    assert store.load() == WatchState(evaluated_through=None, open_alerts=())


def test_how_far_and_what_is_open_come_back_as_they_were_saved(store: AlertStore) -> None:
    other = make_alert(entity("ACME"), starts_at=at(1), clear_since=at(3))
    store.save(expected=None, evaluated_through=M, changes=[make_change(other), make_change(PENDING)])

    assert store.load() == WatchState(evaluated_through=M, open_alerts=(PENDING, other))


@pytest.mark.parametrize(
    ("changed", "still_open"),
    [(FIRING, (FIRING,)), (RESOLVED, ()), (replace(PENDING, value=99), (replace(PENDING, value=99),))],
)
def test_an_alert_is_saved_over_what_it_was(store: AlertStore, changed: Alert, still_open: tuple[Alert, ...]) -> None:
    store.save(expected=None, evaluated_through=M, changes=[make_change(PENDING)])
    store.save(expected=M, evaluated_through=M + 1, changes=[make_change(changed)])

    assert store.load().open_alerts == still_open


def test_a_pending_alert_that_lapses_is_forgotten_and_may_start_again(store: AlertStore) -> None:
    store.save(expected=None, evaluated_through=M, changes=[make_change(PENDING)])
    store.save(expected=M, evaluated_through=M + 1, changes=[make_change(PENDING, forgotten=True)])
    assert store.load().open_alerts == ()

    again = replace(PENDING, starts_at=at(9))
    store.save(expected=M + 1, evaluated_through=M + 9, changes=[make_change(again)])
    assert store.load().open_alerts == (again,)


def test_one_save_may_take_an_alert_through_its_life_and_begin_the_next(store: AlertStore, outbox: Outbox) -> None:
    following = replace(PENDING, starts_at=at(50))
    changes = [
        make_change(PENDING),
        make_change(FIRING, Transition.FIRING, receivers=["risk"]),
        make_change(RESOLVED, Transition.RESOLVED, receivers=["risk"]),
        make_change(following),
    ]
    store.save(expected=None, evaluated_through=M + 60, changes=changes)

    assert store.load().open_alerts == (following,)
    (claimed,) = outbox.claim(now=LATER, lease=timedelta(minutes=1), limit=10)
    assert claimed.notification.transition is Transition.FIRING, "one after the other"
    assert outbox.waiting() == 2


@pytest.mark.parametrize("expected", [None, M - 1, M + 1])
def test_a_save_from_another_place_is_refused_and_changes_nothing(
    store: AlertStore, outbox: Outbox, expected: int | None
) -> None:
    store.save(expected=None, evaluated_through=M, changes=[make_change(PENDING)])

    with pytest.raises(Conflict):
        store.save(
            expected=expected,
            evaluated_through=M + 5,
            changes=[make_change(FIRING, Transition.FIRING, receivers=["risk"])],
        )

    assert store.load() == WatchState(evaluated_through=M, open_alerts=(PENDING,))
    assert outbox.next_due() is None


def test_a_first_save_from_somewhere_is_refused_too(store: AlertStore) -> None:
    with pytest.raises(Conflict):
        store.save(expected=M, evaluated_through=M + 1, changes=[])
    assert store.load().evaluated_through is None


def test_a_notification_is_put_in_the_outbox_once_for_each_receiver(store: AlertStore, outbox: Outbox) -> None:
    fired = make_change(FIRING, Transition.FIRING, receivers=["risk", "desk"], payload=b'{"a": "\xc3\xa4"}')
    store.save(expected=None, evaluated_through=M, changes=[fired])
    store.save(expected=M, evaluated_through=M + 1, changes=[fired])

    claimed = outbox.claim(now=LATER, lease=timedelta(minutes=1), limit=10)
    assert [one.notification for one in claimed] == list(fired.notifications)
    assert {(one.fingerprint, one.starts_at) for one in claimed} == {(FIRING.fingerprint, FIRING.starts_at)}
    assert {one.attempt for one in claimed} == {1}


def test_of_watchers_that_save_at_once_one_wins(store: AlertStore) -> None:
    def save(number: int) -> bool:
        change = make_change(make_alert(entity(f"S{number}")))
        try:
            store.save(expected=None, evaluated_through=M + number, changes=[change])
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(save, range(4)))

    assert won.count(True) == 1
    state = store.load()
    assert state.evaluated_through == M + won.index(True)
    assert [alert.subject for alert in state.open_alerts] == [entity(f"S{won.index(True)}")]

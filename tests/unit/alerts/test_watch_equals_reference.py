"""Whenever it is called, whatever falls over in between: the same alerts, the same webhooks, and the right ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from support.builders import T0, at, make_document, make_scored
from support.fake_store import FakeAlertStore
from support.surge_reference import Expected, reference
from support.watch_world import WatchWorld, count

from alerts.surge import SurgeRule
from alerts.watch import TickReason, WatchPolicy
from domain.alert import AlertChange
from domain.classification import ScoredDocument
from domain.errors import TemporaryError
from domain.timeline import Minute

LATENESS = timedelta(minutes=5)
RULES = (
    SurgeRule(
        name="surge",
        window=timedelta(minutes=6),
        baseline=timedelta(minutes=80),
        min_baseline=timedelta(minutes=10),
        height=2.0,
        min_count=3,
        min_publishers=2,
        min_share=0.4,
        hold_for=timedelta(minutes=2),
        resolve_after=timedelta(minutes=3),
        receivers=("desk",),
    ),
    SurgeRule(
        name="sharp",
        window=timedelta(minutes=2),
        baseline=timedelta(minutes=30),
        min_baseline=timedelta(minutes=1),
        height=1.5,
        min_count=2,
        min_publishers=1,
        min_share=0.0,
        hold_for=timedelta(0),
        resolve_after=timedelta(0),
        subjects=("entity:*",),
        except_subjects=("entity:C",),
        receivers=("desk", "pager"),
    ),
)


def stream(seed: int) -> list[ScoredDocument]:
    """Documents in order of arrival, out of order by less than the lateness: calm stretches, silences and surges."""
    chance = random.Random(seed)
    seconds = chance.uniform(0, 7200)
    documents: list[tuple[float, ScoredDocument]] = []
    for _ in range(chance.randint(1, 8)):
        pace = chance.choice([5, 20, 60, 300])
        negative_share = chance.choice([0.1, 0.5, 0.9])
        for _ in range(chance.randint(1, 25)):
            seconds += chance.expovariate(1 / pace)
            label = "negative" if chance.random() < negative_share else chance.choice(["neutral", "positive"])
            document = make_document(
                f"doc-{len(documents)}",
                published_at=at(seconds=round(seconds)),
                source=chance.choice(["Wire", "Post", "Herald", None]),
                symbols=chance.sample(["A", "B", "C"], k=chance.randint(0, 2)),
            )
            scored = make_scored(document, topic=chance.choice(["Macro", "Earnings"]), **{label: 0.9})
            documents.append((seconds + chance.uniform(0, 290), scored))
        seconds += chance.choice([0, 0, 600, 6000])
    return [scored for _, scored in sorted(documents, key=lambda item: item[0])]


class Unsteady(FakeAlertStore):
    """Fails at the next save when told to: before it is done, or after."""

    fails: str | None = None

    def save(self, *, expected: Minute | None, evaluated_through: Minute, changes: Sequence[AlertChange]) -> None:
        failing, self.fails = self.fails, None
        if failing == "before":
            raise TemporaryError("the server went away")
        super().save(expected=expected, evaluated_through=evaluated_through, changes=changes)
        if failing == "after":
            raise TemporaryError("the server went away")


class Run:
    """One run of the watcher over a stream."""

    def __init__(self, documents: list[ScoredDocument], policy: WatchPolicy | None = None) -> None:
        self.waiting = documents[::-1]
        self.high: datetime | None = None
        self.world = WatchWorld(*RULES, policy=policy)
        self.world.store = self.store = Unsteady(clock=lambda: T0)
        # The history may be far ahead of the windows: what it says of closed minutes is the same.
        self.world.documents.add(*documents)
        self.world.start()
        self.newest: object | None = None

    def arrive(self, many: int) -> None:
        """So many documents are recorded; the watermark follows."""
        self.whole()
        for _ in range(min(many, len(self.waiting))):
            scored = self.waiting.pop()
            count(self.world.windows, scored)
            self.high = max(self.high or scored.document.published_at, scored.document.published_at)
        if self.high is not None:
            self.world.windows.watermark_at(self.high - LATENESS)

    def whole(self) -> None:
        """The windows are where they should be."""
        if self.newest is not None:
            self.world.windows.restore(self.newest)
            self.newest = None

    def lose(self, older: object | None) -> None:
        """The windows are flushed, or fall back to what they were."""
        self.newest = self.newest or self.world.windows.snapshot()
        self.world.windows.restore(older)

    def tick(self) -> TickReason | None:
        """One tick; None when a server failed."""
        try:
            return self.world.watcher.tick().reason
        except TemporaryError:
            return None

    def finish(self) -> None:
        """Everything arrives, event time ends, and the watcher comes to an end."""
        self.arrive(len(self.waiting))
        self.whole()
        assert self.high is not None
        self.world.windows.watermark_at(self.high + timedelta(minutes=30))
        self.store.fails = None
        while self.tick() is not TickReason.UP_TO_DATE:
            pass

    def came_of_it(self) -> tuple[object, ...]:
        """All that anyone can see of it."""
        store = self.store
        payloads = {key: one.notification.payload for key, one in store.outbox.pending.items()}
        return store.alerts, payloads, store.evaluated_through


def seen(run: Run) -> list[Expected]:
    names = {field.name for field in fields(Expected)}
    alerts = [Expected(**{name: getattr(alert, name) for name in names}) for alert in run.store.alerts.values()]
    return sorted(alerts, key=lambda alert: (alert.starts_at, alert.rule, alert.subject))


def test_the_streams_of_these_tests_make_alerts_of_all_sorts() -> None:
    found = [alert for seed in range(12) for alert in reference(RULES, stream(seed), at(6 * 60))]
    assert len(found) > 30
    assert {alert.rule for alert in found} == {"surge", "sharp"}
    assert {alert.subject.kind for alert in found} == {"topic", "entity"}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_run_at_once_gives_what_adding_everything_up_at_each_boundary_gives(seed: int) -> None:
    documents = stream(seed)
    run = Run(documents)
    run.finish()
    assert run.high is not None
    assert seen(run) == reference(RULES, documents, run.high + timedelta(minutes=30))


STEPS = st.one_of(
    st.tuples(st.just("arrive"), st.integers(1, 30)),
    st.tuples(
        st.sampled_from(["tick", "restart", "rival", "fail before", "fail after", "flush", "fall back"]), st.just(0)
    ),
)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    steps=st.lists(STEPS, max_size=60),
    first_read=st.integers(1, 300),
    most_read=st.sampled_from([7, 100, 10_000]),
)
def test_a_run_that_is_called_restarted_and_disturbed_at_random_gives_the_same(
    seed: int, steps: list[tuple[str, int]], first_read: int, most_read: int
) -> None:
    documents = stream(seed)
    at_once = Run(documents)
    at_once.finish()
    run = Run(documents, WatchPolicy(first_read=first_read, most_read=most_read, buckets_per_read=50))
    older = run.world.windows.snapshot()
    rival = run.world.watcher
    for step, many in steps:
        match step:
            case "arrive":
                run.arrive(many)
            case "tick":
                run.tick()
            case "restart":
                older = run.newest or run.world.windows.snapshot()
                run.world.start()
            case "rival":
                rival, run.world.watcher = run.world.watcher, rival
                run.tick()
            case "fail before" | "fail after":
                run.store.fails = step.removeprefix("fail ")
                run.tick()
            case "flush":
                run.lose(None)
                run.tick()
            case "fall back":
                run.lose(older)
                run.tick()
    run.finish()
    assert run.came_of_it() == at_once.came_of_it()


def test_a_tick_after_each_document_gives_the_same_as_one_at_the_end() -> None:
    for seed in range(5):
        documents = stream(seed)
        at_once, by_and_by = Run(documents), Run(documents)
        at_once.finish()
        while by_and_by.waiting:
            by_and_by.arrive(1)
            by_and_by.tick()
        by_and_by.finish()
        assert by_and_by.came_of_it() == at_once.came_of_it()

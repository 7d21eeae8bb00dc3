"""A small world to watch: documents go in by the minute, rules are evaluated, alerts come out. Minutes count from T0.

world = WatchWorld(SurgeRule(name="surge", receivers=("desk",)))
world.push(0, "ACME", neutral=1, every=10, until=120)      # a calm baseline
world.push(121, "ACME", negative=12)                       # a surge
world.watch(to=125)
world.expect("ACME", firing=(122, 124))
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from support.builders import T0, at, entity, make_document, make_scored
from support.fake_store import FakeAlertStore, FakeDocuments, FakeHistoryReader
from support.fake_windows import FakeWindows

from alerts.surge import SurgeRule
from alerts.watch import Tick, Watcher, WatchPolicy
from domain.alert import Alert
from domain.classification import ScoredDocument
from domain.subject import Subject, sentiments_of
from domain.timeline import Minute, minute_of
from domain.window import UNKNOWN_PUBLISHER

M0 = minute_of(T0)
TOPIC = "Macro"
"""The topic of all documents."""
RULE = SurgeRule(name="surge", receivers=("desk", "pager"))


class WatchWorld:
    """Windows and history that agree, a store, and a watcher that can be started anew."""

    def __init__(self, *rules: SurgeRule, policy: WatchPolicy | None = None) -> None:
        self.rules = rules
        self.policy = policy
        self.windows = FakeWindows()
        self.documents = FakeDocuments()
        self.reader = FakeHistoryReader(self.documents)
        self.store = FakeAlertStore(clock=lambda: T0)
        self.ticks: list[Tick] = []
        self.watcher = self.start()

    def start(self) -> Watcher:
        """A new watcher, as after a restart."""
        self.watcher = Watcher(
            self.rules,
            windows=self.windows,
            history=self.reader,
            alerts=self.store,
            lateness=timedelta(minutes=5),
            policy=self.policy,
        )
        return self.watcher

    def push(
        self,
        minute: float,
        symbol: str,
        *,
        negative: int = 0,
        neutral: int = 0,
        positive: int = 0,
        publishers: Sequence[str | None] = ("Wire", "Post", "Herald", "Journal"),
        every: float | None = None,
        until: float | None = None,
    ) -> None:
        """Documents about a symbol in a minute, or in each `every`-th minute before `until`, by publishers in turn."""
        while True:
            scores = [0.9] * negative + [0.05] * neutral + [0.02] * positive
            for place, score in enumerate(scores):
                name = f"{symbol}-{minute:g}-{len(self.documents.by_id)}"
                document = make_document(
                    name,
                    text=f"{symbol} news {name}",
                    published_at=at(minute, seconds=place * 60 / (len(scores) + 1)),
                    source=publishers[place % len(publishers)],
                    symbols=[symbol],
                )
                kind = {0.9: "negative", 0.05: "neutral", 0.02: "positive"}[score]
                self.add(make_scored(document, topic=TOPIC, **{kind: 0.9}))
            if every is None or until is None or minute + every >= until:
                return
            minute += every

    def add(self, scored: ScoredDocument) -> None:
        """Record one document and count it."""
        if scored.document.id in self.documents.by_id:
            return
        self.documents.add(scored)
        count(self.windows, scored)

    def watch(self, to: float, *, step: float | None = None) -> list[Tick]:
        """Bring the watermark to a minute, at once or by steps, and tick until there is no more to do."""
        reached = self.windows.marks()[0].ended_at if self.windows.marks() else None
        now = to if step is None or reached is None else (reached - T0) / timedelta(minutes=1) + step
        ticks: list[Tick] = []
        while True:
            self.windows.watermark_at(at(min(now, to)))
            ticks.append(self.watcher.tick())
            while ticks[-1].behind:
                ticks.append(self.watcher.tick())
            if step is None or now >= to:
                self.ticks += ticks
                return ticks
            now += step

    def alerts(self, symbol: str | None = None) -> list[Alert]:
        """All alerts there have been, the oldest first."""
        found = sorted(self.store.alerts.values(), key=lambda alert: (alert.starts_at, str(alert.subject)))
        return [alert for alert in found if symbol is None or alert.subject == entity(symbol)]

    def expect(
        self,
        symbol: str,
        *,
        firing: tuple[float, float] | None = None,
        resolved: tuple[float, float] | None = None,
    ) -> Alert:
        """The only alert on a symbol fired, and resolved (or not), at a minute within these bounds, ends included."""
        (alert,) = self.alerts(symbol)
        for name, moment, bounds in (("fired", alert.fired_at, firing), ("resolved", alert.ends_at, resolved)):
            minute = None if moment is None else minutes(moment)
            if bounds is None:
                assert minute is None, f"{name} at minute {minute}, expected not to"
            else:
                assert minute is not None, f"never {name}, expected between {bounds}"
                assert bounds[0] <= minute <= bounds[1], f"{name} at minute {minute}, expected between {bounds}"
        return alert


def minutes(moment: datetime) -> float:
    """Minutes since T0."""
    return (moment - T0) / timedelta(minutes=1)


def count(windows: FakeWindows, scored: ScoredDocument) -> None:
    """Count one document in the windows, as the record stage would."""
    minute: Minute = minute_of(scored.document.published_at)
    publisher = scored.document.publisher or UNKNOWN_PUBLISHER
    for subject, sentiment in sentiments_of(scored):
        windows.put(subject, minute, publishers=(publisher,), **{sentiment.label.value: 1})


def symbol(name: str) -> Subject:
    """The subject of a symbol."""
    return entity(name)


def surging(*rules: SurgeRule, policy: WatchPolicy | None = None) -> WatchWorld:
    """Two calm hours, then twelve negative documents in minute 121."""
    world = WatchWorld(*(rules or (RULE,)), policy=policy)
    world.push(0, "ACME", neutral=1, negative=1, every=10, until=120)
    world.push(121, "ACME", negative=12)
    return world

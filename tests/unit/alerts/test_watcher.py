"""A watcher at work: beside others, over restarts, in its loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from support.builders import at
from support.fake_store import FakeAlertStore
from support.watch_world import M0, RULE, WatchWorld, surging

from alerts.surge import SurgeRule
from alerts.watch import Tick, TickReason, Watcher, WatchPolicy
from domain.alert import AlertChange, AlertStatus, Transition
from domain.errors import PermanentError, TemporaryError
from domain.ports import NoTelemetry, WatchState
from domain.timeline import Minute

# --- others, and restarts ---


class Flaky(FakeAlertStore):
    """Loses the connection at a save: before it is done, or after."""

    def __init__(self, *, after: bool) -> None:
        super().__init__(clock=lambda: at(0))
        self.after = after
        self.failures = 1

    def save(self, *, expected: Minute | None, evaluated_through: Minute, changes: Sequence[AlertChange]) -> None:
        if self.failures and not self.after:
            self.failures -= 1
            raise TemporaryError("the server went away")
        super().save(expected=expected, evaluated_through=evaluated_through, changes=changes)
        if self.failures and self.after:
            self.failures -= 1
            raise TemporaryError("the server went away")


@pytest.mark.parametrize("after", [False, True])
def test_a_save_that_may_or_may_not_have_happened_is_found_out(after: bool) -> None:
    world = surging()
    world.store = Flaky(after=after)
    watcher = world.start()
    world.windows.watermark_at(at(124))
    with pytest.raises(TemporaryError):
        watcher.tick()
    world.watch(to=200)
    world.expect("ACME", firing=(123, 123), resolved=(142, 142))
    assert len(world.store.outbox.pending) == 2 * 2 * len(world.alerts())


def test_a_watcher_that_another_overtook_goes_on_from_there() -> None:
    world = surging()
    first = world.watcher
    world.watch(to=100)
    second = world.start()
    world.watch(to=124)
    assert first.tick().reason is TickReason.CONFLICT
    assert first.tick().reason is TickReason.UP_TO_DATE
    world.windows.watermark_at(at(130))
    assert first.tick().evaluated_through == M0 + 130
    assert second.tick().reason is TickReason.CONFLICT
    world.expect("ACME", firing=(123, 123))


def test_an_alert_whose_rule_is_gone_is_resolved_and_all_receivers_are_told() -> None:
    world = surging(replace(RULE, subjects=("entity:*",)))
    world.watch(to=125)
    world.rules = (SurgeRule(name="another", receivers=("desk",), min_count=1000),)
    world.start()
    world.watch(to=130)
    alert = world.expect("ACME", firing=(123, 123), resolved=(126, 126))
    told = [one.notification.receiver for one in world.store.outbox.pending.values()]
    assert told == ["desk", "pager", "desk"]
    assert alert.status is AlertStatus.RESOLVED


def test_an_open_alert_whose_subject_is_excluded_now_resolves_in_its_time() -> None:
    world = surging()
    world.watch(to=124)
    world.rules = (replace(RULE, except_subjects=("entity:ACME",)),)
    world.start()
    world.watch(to=200)
    world.expect("ACME", firing=(123, 123), resolved=(130, 130))


def test_rules_need_different_names() -> None:
    with pytest.raises(ValueError, match="different names"):
        WatchWorld(RULE, RULE)


# --- how it reads ---


class Counting:
    """Counts the calls of a reader."""

    def __init__(self, inner: object) -> None:
        self.inner = inner
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> object:
        self.calls.append(name)
        return getattr(self.inner, name)


def test_a_live_tick_reads_the_marks_and_the_buckets_once_and_nothing_else_while_it_is_calm() -> None:
    world = surging()
    world.watch(to=110)
    windows, history = Counting(world.windows), Counting(world.reader)
    world.watcher = Watcher(
        [RULE],
        windows=windows,  # type: ignore[arg-type]
        history=history,  # type: ignore[arg-type]
        alerts=world.store,
        lateness=timedelta(minutes=5),
    )
    world.watch(to=111)
    windows.calls.clear()
    world.watch(to=112)
    assert windows.calls == ["marks", "buckets"]
    world.watch(to=112)
    assert windows.calls == ["marks", "buckets", "marks"]
    assert history.calls == []


def test_what_a_read_brings_stays_near_the_size_that_was_asked_for() -> None:
    world = WatchWorld(RULE, policy=WatchPolicy(first_read=50, buckets_per_read=100, most_read=500))
    world.push(0, "ACME", neutral=1, every=1, until=600)
    world.push(3000, "ACME", neutral=1)
    ticks = world.watch(to=3100)
    dense = [tick.boundaries for tick in ticks if (tick.evaluated_through or 0) < M0 + 600]
    assert max(dense) < 70
    assert max(tick.boundaries for tick in ticks) == 500
    assert sum(tick.boundaries for tick in ticks) == 3100


def test_a_tick_ends_early_when_it_has_much_to_save(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.watch.MOST_CHANGES", 1)
    world = surging()
    ticks = world.watch(to=200)
    assert [len(tick.told(Transition.FIRING)) for tick in ticks if tick.told(Transition.FIRING)] == [2]
    world.expect("ACME", firing=(123, 123), resolved=(142, 142))
    assert len(ticks) == 3


def test_the_numbers_of_an_open_alert_are_saved_as_they_change() -> None:
    world = surging(replace(RULE, subjects=("entity:*",)))
    world.watch(to=124)
    world.push(124, "ACME", negative=5)
    world.watch(to=126)
    assert world.store.load().open_alerts[0].value == 17
    world.watch(to=127)
    assert world.ticks[-1].changes == (), "nothing changed"


# --- run ---


class Telemetry(NoTelemetry):
    def __init__(self) -> None:
        self.counted: dict[tuple[str, ...], float] = {}
        self.gauges: dict[tuple[str, ...], float] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        key = (name, *labels.values())
        self.counted[key] = self.counted.get(key, 0) + amount

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.gauges[name, *labels.values()] = value


def test_it_runs_until_it_is_told_to_stop_and_measures(caplog: pytest.LogCaptureFixture) -> None:
    world = surging()
    telemetry = Telemetry()
    watcher = Watcher(
        [RULE],
        windows=world.windows,
        history=world.reader,
        alerts=world.store,
        lateness=timedelta(minutes=5),
        telemetry=telemetry,
        policy=WatchPolicy(poll=timedelta(milliseconds=5)),
    )
    stop = threading.Event()
    world.windows.watermark_at(at(125))
    caplog.set_level(logging.INFO)
    thread = threading.Thread(target=watcher.run, args=(stop,))
    thread.start()
    try:
        for _ in range(500):
            if world.store.evaluated_through == M0 + 125 and telemetry.gauges:
                break
            threading.Event().wait(0.01)
    finally:
        stop.set()
        thread.join(5)
    assert not thread.is_alive()
    assert telemetry.counted == {("boundaries_evaluated_total",): 125, ("alerts_total", "surge", "firing"): 2}
    assert telemetry.gauges["alerts_open", "surge", "firing"] == 2
    assert telemetry.gauges["watermark_timestamp_seconds",] == at(125).timestamp()
    assert telemetry.gauges["evaluated_through_timestamp_seconds",] == at(125).timestamp()
    assert "Alert firing: surge on entity:ACME" in caplog.text


def test_it_waits_for_a_server_that_is_down_and_ends_on_what_only_a_person_can_mend(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    class Down(FakeAlertStore):
        calls = 0

        def load(self) -> WatchState:
            self.calls += 1
            if self.calls < 4:
                raise TemporaryError("no connection")
            raise PermanentError("the schema is of a later release: upgrade Groundswell")

    world = surging()
    world.store = store = Down()
    world.policy = WatchPolicy(poll=timedelta(milliseconds=1))
    with pytest.raises(PermanentError):
        world.start().run(threading.Event())
    assert store.calls == 4
    assert caplog.text.count("Waiting: no connection") == 1


def test_it_says_why_it_waits_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = surging(policy=WatchPolicy(poll=timedelta(milliseconds=1)))
    world.windows.watermark_at(None)
    stop = threading.Event()
    ticks = 0
    tick = world.watcher.tick

    def counting() -> Tick:
        nonlocal ticks
        ticks += 1
        if ticks == 5:
            world.windows.watermark_at(at(60))
        if ticks == 8:
            stop.set()
        return tick()

    world.watcher.tick = counting  # type: ignore[method-assign]
    world.watcher.run(stop)
    assert caplog.text.count("held by news[0]") == 1
    assert caplog.text.count("Going on") == 1

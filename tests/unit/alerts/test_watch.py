"""Timelines: documents in, watermark on, alerts out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from support.builders import at, entity, make_alert
from support.watch_world import M0, RULE, WatchWorld, surging

from alerts.surge import SurgeRule
from alerts.watch import TickReason
from domain.alert import AlertChange, AlertStatus, Transition, webhook_id
from domain.timeline import Minute
from domain.window import Buckets

# --- the life of a surge ---


def test_a_surge_fires_a_minute_after_it_began_and_resolves_when_its_window_has_passed() -> None:
    world = surging()
    world.watch(to=200)
    alert = world.expect("ACME", firing=(123, 123), resolved=(142, 142))
    assert alert.starts_at == at(122)
    assert alert.clear_since == at(137), "minute 121 has left the window [122, 137)"
    assert alert.baseline_minutes == 107
    assert alert.baseline == pytest.approx(11 * 15 / 107)


def test_nothing_fires_before_the_watermark_has_reached_its_boundary() -> None:
    world = surging()
    world.watch(to=122.9)
    assert [alert.status for alert in world.alerts()] == [AlertStatus.PENDING] * 2
    world.watch(to=123)
    assert world.expect("ACME", firing=(123, 123)).status is AlertStatus.FIRING


def test_a_pending_alert_whose_condition_lapses_is_forgotten_in_the_store_too() -> None:
    world = WatchWorld(replace(RULE, hold_for=timedelta(minutes=3), min_share=0.6))
    world.push(0, "ACME", neutral=1, every=10, until=120)
    world.push(121, "ACME", negative=12)
    world.push(123, "ACME", neutral=12)
    world.watch(to=122)
    assert len(world.alerts("ACME")) == 1
    world.watch(to=130)
    assert world.alerts("ACME") == []
    assert world.ticks[-1].changes[0].forgotten


def test_a_single_wire_item_sent_again_and_again_is_no_surge() -> None:
    world = WatchWorld(RULE)
    world.push(0, "ACME", neutral=1, every=10, until=120)
    world.push(121, "ACME", negative=30, publishers=["Wire", "Post"])
    world.watch(to=200)
    assert world.alerts() == []


def test_unknown_publishers_count_as_one() -> None:
    world = WatchWorld(RULE)
    world.push(0, "ACME", neutral=1, every=10, until=120)
    world.push(121, "ACME", negative=30, publishers=["Wire", None])
    world.watch(to=130)
    assert world.alerts() == []
    world.push(131, "ACME", negative=12, publishers=["Post"])
    world.watch(to=140)
    world.expect("ACME", firing=(133, 133))


def test_there_is_no_alert_before_an_hour_of_baseline_was_observed() -> None:
    world = WatchWorld(RULE)
    world.push(0, "ACME", neutral=1, every=10, until=70)
    world.push(70, "ACME", negative=12)
    world.watch(to=74)
    assert world.alerts() == []
    world.watch(to=80)
    assert world.expect("ACME", firing=(76, 76)).starts_at == at(75), "the baseline is [0, 60)"


def test_hours_of_silence_are_not_taken_for_calm() -> None:
    """Ten negative documents in 24 observed minutes, then nineteen hours without any document on any subject: that
    leads to expect six in a window. With others' documents in these hours it leads to expect next to none."""
    rule = replace(RULE, min_baseline=timedelta(minutes=20))
    quiet, noisy = WatchWorld(rule), WatchWorld(rule)
    for world in (quiet, noisy):
        world.push(36, "ACME", negative=10)
        world.push(20 * 60 + 30, "ACME", negative=12)
    noisy.push(60, "OTHER", neutral=1, every=60, until=20 * 60)
    for world in (quiet, noisy):
        world.watch(to=21 * 60)
    assert quiet.alerts("ACME") == []
    noisy.expect("ACME", firing=(1232, 1232), resolved=(1251, 1251))


def test_the_baseline_is_frozen_while_the_alert_is_open() -> None:
    """Two hours of surge would raise its own baseline above a third of it."""
    world = WatchWorld(RULE)
    world.push(0, "ACME", neutral=1, every=10, until=120)
    world.push(121, "ACME", negative=3, every=1, until=241)
    world.watch(to=400)
    alert = world.expect("ACME", firing=(126, 126), resolved=(258, 258))
    assert alert.baseline == 0.0


def test_the_alert_quotes_the_ten_most_negative_documents_its_publishers_and_its_numbers() -> None:
    world = surging()
    world.watch(to=200)
    evidence = world.expect("ACME", firing=(123, 123), resolved=(142, 142)).evidence
    assert evidence is not None
    assert (evidence.window_start, evidence.window_end) == (at(108), at(123))
    assert (evidence.count, evidence.negative, evidence.negative_publishers) == (14, 13, 4)
    assert len(evidence.documents) == 10
    assert all(at(108) <= document.published_at < at(123) for document in evidence.documents)
    assert [(one.publisher, one.negative) for one in evidence.publishers] == [
        ("Wire", 4),
        ("Herald", 3),
        ("Journal", 3),
        ("Post", 3),
    ]
    assert [model.name for model in evidence.models] == ["test-model"]


def test_each_receiver_is_told_once_that_it_fires_and_once_that_it_resolved() -> None:
    world = surging(replace(RULE, subjects=("entity:*",)))
    world.watch(to=200, step=0.5)
    (alert,) = world.alerts()
    told = {(one.notification.webhook_id, one.notification.receiver) for one in world.store.outbox.pending.values()}
    assert told == {
        (webhook_id(alert, transition), receiver) for transition in Transition for receiver in ("desk", "pager")
    }


def test_several_rules_are_judged_each_by_its_own_measure() -> None:
    world = surging(
        replace(RULE, subjects=("entity:*",)),
        SurgeRule(name="short", window=timedelta(minutes=1), subjects=("entity:*",), hold_for=timedelta(0)),
        SurgeRule(name="many", min_count=14),
    )
    world.watch(to=200)
    fired = {alert.rule: (alert.fired_at, alert.ends_at) for alert in world.alerts()}
    assert fired == {"surge": (at(123), at(142)), "short": (at(122), at(128))}


def test_a_subject_may_surge_again() -> None:
    world = surging()
    world.push(160, "ACME", negative=30)
    world.watch(to=300)
    assert [alert.fired_at for alert in world.alerts("ACME")] == [at(123), at(162)]


# --- when it waits ---


def test_it_waits_while_event_time_is_unknown_and_says_what_holds_it_back() -> None:
    world = surging()
    world.windows.watermark_at(None)
    tick = world.watcher.tick()
    assert tick.reason is TickReason.NO_WATERMARK
    assert [partition.topic for partition in tick.held_by] == ["news"]


def test_it_waits_while_there_is_nothing_at_all() -> None:
    world = WatchWorld(RULE)
    assert world.watcher.tick().reason is TickReason.NO_WATERMARK
    world.windows.watermark_at(at(10))
    assert world.watcher.tick().reason is TickReason.NOTHING_OBSERVED
    assert world.store.saves == 0


def test_it_begins_with_the_first_minute_that_has_a_document() -> None:
    world = WatchWorld(RULE)
    world.push(50, "ACME", neutral=1)
    (tick,) = world.watch(to=60)
    assert (tick.boundaries, tick.evaluated_through, tick.behind) == (10, M0 + 60, False)


def test_it_waits_while_the_windows_are_not_whole_and_goes_on_where_it_was() -> None:
    world = surging()
    world.watch(to=122)
    whole = world.windows.snapshot()
    world.windows.flush()
    assert world.watcher.tick().reason is TickReason.WINDOWS_NOT_WHOLE
    world.windows.restore(whole)
    world.watch(to=200)
    world.expect("ACME", firing=(123, 123), resolved=(142, 142))


def test_it_does_nothing_while_the_watermark_stands_still_or_went_back() -> None:
    world = surging()
    world.watch(to=130)
    saves = world.store.saves
    for minute in (130, 130.9, 100):
        assert [tick.reason for tick in world.watch(to=minute)] == [TickReason.UP_TO_DATE]
    assert world.store.saves == saves


def test_windows_that_fall_back_between_two_reads_are_not_believed() -> None:
    world = surging()
    world.watch(to=60)
    older = world.windows.snapshot()
    world.windows.watermark_at(at(200))
    read = world.windows.buckets

    def fallen_back(start: Minute, end: Minute) -> Buckets:
        world.windows.restore(older)
        return read(start, end)

    newest = world.windows.snapshot()
    world.windows.buckets = fallen_back  # type: ignore[method-assign]
    assert world.watcher.tick().reason is TickReason.WINDOWS_NOT_WHOLE
    world.windows.buckets = read  # type: ignore[method-assign]
    world.windows.restore(newest)
    world.watch(to=200)
    world.expect("ACME", firing=(123, 123), resolved=(142, 142))


def test_what_an_idle_partition_brings_late_counts_in_the_windows_that_follow() -> None:
    world = WatchWorld(RULE)
    world.push(0, "ACME", neutral=1, every=10, until=120)
    world.push(121, "ACME", negative=6)
    world.watch(to=125)
    world.push(121, "ACME", negative=6, publishers=["Blog", "Forum"])
    world.watch(to=140)
    world.expect("ACME", firing=(127, 127))


def test_all_publishers_are_counted_and_the_twenty_busiest_named() -> None:
    world = WatchWorld(replace(RULE, subjects=("entity:*",)))
    world.push(0, "ACME", neutral=1, every=10, until=120)
    world.push(121, "ACME", negative=50, publishers=[f"Paper {number}" for number in range(50)])
    world.watch(to=130)
    evidence = world.expect("ACME", firing=(123, 123)).evidence
    assert evidence is not None
    assert (evidence.negative_publishers, len(evidence.publishers)) == (50, 20)


def test_alerts_that_are_open_at_a_start_go_on() -> None:
    """As loaded from the store, on a boundary that was saved."""
    world = surging(replace(RULE, subjects=("entity:*",)))
    pending = make_alert(entity("ACME"), starts_at=at(122), baseline=0.5, baseline_minutes=90)
    world.store.save(expected=None, evaluated_through=M0 + 122, changes=[AlertChange(alert=pending)])
    world.watch(to=125)
    assert world.expect("ACME", firing=(123, 123)).baseline == 0.5

"""Sliding sums equal the sums over the minutes themselves, at every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.builders import entity

from alerts.rolling import Span, Sums, Timeline
from domain.subject import Subject
from domain.window import Counts

SUBJECTS = [entity(name) for name in ("A", "B", "C")]
SPANS = [Span(window=3, baseline=70, hot_at=2), Span(window=15, baseline=200, hot_at=4)]

Minutes = dict[int, dict[Subject, Counts]]

counts = st.builds(
    lambda negative, other: Counts(negative + other, negative, other), st.integers(0, 4), st.integers(0, 3)
)
minutes = st.dictionaries(
    st.integers(0, 400), st.dictionaries(st.sampled_from(SUBJECTS), counts.filter(lambda c: c.count > 0), min_size=1)
)


def summed(held: Minutes, start: int, end: int) -> Mapping[Subject, int]:
    """Negative documents over [start, end), added up again."""
    total: Counter[Subject] = Counter()
    for minute, subjects in held.items():
        if start <= minute < end:
            total.update({subject: count.negative for subject, count in subjects.items() if count.negative})
    return total


def observed(held: Minutes, start: int, end: int) -> int:
    """Minutes of [start, end) from the first with a document on, in clock hours that have one there."""
    with_documents = [minute for minute in held if start <= minute < end]
    hours = {minute // 60 for minute in with_documents}
    return sum(minute // 60 in hours for minute in range(min(with_documents), end)) if with_documents else 0


def check(timeline: Timeline, sums: Sums, held: Minutes) -> None:
    boundary, span = timeline.boundary, sums.span
    window_start = boundary - span.window
    window = summed(held, window_start, boundary)
    assert sums.window == window
    assert sums.hot == {subject for subject, negative in window.items() if negative >= span.hot_at}
    assert sums.baseline == summed(held, window_start - span.baseline, window_start)
    assert timeline.observed_minutes(sums) == observed(held, window_start - span.baseline, window_start)
    for subject in SUBJECTS:
        documents = sum(held.get(minute, {}).get(subject, Counts()).count for minute in range(window_start, boundary))
        assert timeline.documents(subject, span.window) == documents


@settings(max_examples=50, deadline=None)
@given(held=minutes, start=st.integers(0, 300), chunk=st.integers(1, 50))
def test_they_equal_the_sums_over_the_minutes_at_every_step(held: Minutes, start: int, chunk: int) -> None:
    timeline = Timeline(start, SPANS)
    timeline.put({m: held[m] for m in held if start - timeline.longest <= m < start}, start - timeline.longest, start)
    while timeline.boundary < 420:
        end = timeline.boundary + chunk
        begin = timeline.boundary - timeline.longest_window
        timeline.put({m: held[m] for m in held if begin <= m < end}, begin, end)
        while timeline.boundary < end:
            for sums in timeline.sums:
                check(timeline, sums, held)
            timeline.advance()


@given(before=minutes, after=minutes, start=st.integers(0, 300), steps=st.integers(0, 60))
def test_a_minute_that_is_put_again_replaces_what_was_said_of_it(
    before: Minutes, after: Minutes, start: int, steps: int
) -> None:
    timeline = Timeline(start, SPANS)
    begin = start - timeline.longest
    timeline.put({m: before[m] for m in before if begin <= m < start + steps}, begin, start + steps)
    for _ in range(steps):
        timeline.advance()
    again = timeline.boundary - timeline.longest_window
    timeline.put({m: after[m] for m in after if again <= m < timeline.boundary}, again, timeline.boundary)
    held = {m: subjects for m, subjects in before.items() if m < again}
    held |= {m: subjects for m, subjects in after.items() if m >= again}
    for sums in timeline.sums:
        check(timeline, sums, held)


def test_only_an_empty_timeline_jumps() -> None:
    timeline = Timeline(100, SPANS)
    timeline.jump(900)
    assert timeline.boundary == 900
    timeline.put({899: {SUBJECTS[0]: Counts(1)}}, 890, 900)
    with pytest.raises(ValueError, match="only an empty timeline"):
        timeline.jump(1000)


def test_it_is_empty_again_when_the_last_minute_has_left_the_longest_span() -> None:
    timeline = Timeline(0, SPANS)
    timeline.put({0: {SUBJECTS[0]: Counts(1, 1)}}, 0, 1)
    for _ in range(timeline.longest + 1):
        assert not timeline.empty
        timeline.advance()
    assert timeline.empty
    assert all(not (sums.window or sums.baseline or sums.hours or sums.hot) for sums in timeline.sums)

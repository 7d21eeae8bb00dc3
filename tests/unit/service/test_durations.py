"""Spans of time as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90", 90),
        (90, 90),
        (0.5, 0.5),
        ("1.5", 1.5),
        ("500ms", 0.5),
        ("15m", 900),
        ("24h", 86_400),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("PT15M", 900),
        ("pt1h30m", 5400),
        ("P1DT12H", 129_600),
        ("P2W", 1_209_600),
        (" 15m ", 900),
    ],
)
def test_durations_are_read_in_every_form_that_people_write(written: object, seconds: float) -> None:
    assert parse_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "written",
    ["", "soon", "15 minutes", "-5m", -5, "P", "PT", "P1M", "1h30", True, None, [15], "9" * 400, "nan", "inf"],
)
def test_what_is_no_duration_is_refused_with_what_is_allowed(written: object) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        parse_duration(written)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000)))
def test_a_written_duration_is_read_back_to_the_millisecond(value: timedelta) -> None:
    assert abs(parse_duration(format_duration(value)) - value) <= timedelta(milliseconds=1)

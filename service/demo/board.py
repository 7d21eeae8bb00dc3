"""What the demonstration shows: a table of subjects over the last hour of event time, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from domain.subject import Subject
from domain.timeline import Minute, start_of
from domain.window import Buckets, Counts, WindowStats

SPAN = 60
"""Minutes of event time that the table sums over."""
STEP = 5
"""Minutes of event time per character of the sparkline."""
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One subject of the table; `trend` has the negative documents of each step, the oldest first."""

    stats: WindowStats
    trend: tuple[int, ...]


def rows_of(buckets: Buckets, limit: int) -> list[Row]:
    """The subjects with the most negative documents over the buckets' span, then those with the most documents."""
    totals: dict[Subject, Counts] = {}
    trends: dict[Subject, list[int]] = {}
    steps = -(-(buckets.end - buckets.start) // STEP)
    for minute, subjects in buckets.counts.items():
        for subject, counts in subjects.items():
            totals[subject] = totals.get(subject, Counts()) + counts
            trends.setdefault(subject, [0] * steps)[(minute - buckets.start) // STEP] += counts.negative
    busiest = sorted(totals, key=lambda subject: (-totals[subject].negative, -totals[subject].count, subject))
    return [
        Row(
            stats=WindowStats(
                subject=subject, start=start_of(buckets.start), end=start_of(buckets.end), counts=totals[subject]
            ),
            trend=tuple(trends[subject]),
        )
        for subject in busiest[:limit]
    ]


def sparkline(values: Sequence[int]) -> str:
    """One bar per value, scaled to the largest; a step without anything is the lowest bar."""
    top = max(values, default=0) or 1
    return "".join(BARS[value * (len(BARS) - 1) // top] for value in values)


def render(rows: Sequence[Row], *, until: Minute | None, events: Sequence[str], progress: str) -> RenderableType:
    """The live picture: the table, the newest events, and how far the replay is."""
    when = "waiting for the first documents" if until is None else f"the hour to {_clock(start_of(until))} UTC"
    table = Table(title=f"Groundswell · {when}", title_justify="left", expand=True)
    table.add_column("subject", no_wrap=True, ratio=1)
    for heading in ("documents", "negative", "polarity"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
    table.add_column("negatives", no_wrap=True, min_width=SPAN // STEP)
    for row in rows:
        share, mean = row.stats.negative_share, row.stats.polarity_mean
        table.add_row(
            str(row.stats.subject),
            str(row.stats.counts.count),
            "–" if share is None else Text(f"{share:.0%}", style="bold red" if share >= 0.5 else ""),
            "–" if mean is None else f"{mean:+.2f}",
            sparkline(row.trend),
        )
    return Group(table, *(Text.from_markup(event) for event in events), Text(progress, style="dim"))


def _clock(at: datetime) -> str:
    return at.strftime("%H:%M")

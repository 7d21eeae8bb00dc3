"""The bundled stream is what it promises; the table says what the buckets hold."""

import json
from collections import Counter
from datetime import datetime, timedelta

from rich.console import Console

from domain.subject import Subject
from domain.window import Buckets, Counts
from service.demo.board import render, rows_of, sparkline
from service.demo.compose_sample import NEWS, SAMPLE, WIRE_PUBLISHERS, compose

NGB, CLDR = Subject.parse("entity:NGB"), Subject.parse("entity:CLDR")


def rows() -> list[dict[str, object]]:
    return [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]


def test_the_bundled_file_is_what_the_composer_writes() -> None:
    assert rows() == compose()


def test_it_has_hundreds_of_documents_over_hours_of_both_kinds_from_a_dozen_publishers() -> None:
    documents = rows()
    assert len(documents) >= 600
    assert len({row["id"] for row in documents}) == len(documents)
    assert Counter(row["kind"] for row in documents).keys() == {"news", "comment"}
    assert len({row["source"] for row in documents if row["kind"] == "news"}) >= 12
    assert len(NEWS) == 19
    first, last = (datetime.fromisoformat(str(documents[end]["published_at"])) for end in (0, -1))
    assert last - first > timedelta(hours=5)


def test_the_wire_item_comes_from_two_publishers_only() -> None:
    repeated = [row for row in rows() if "output warning" in str(row["text"])]
    assert len(repeated) == 40
    assert {row["source"] for row in repeated} == set(WIRE_PUBLISHERS)


def test_the_sparkline_scales_to_the_largest_and_shows_nothing_as_the_lowest() -> None:
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([0, 7, 14]) == "▁▄█"


def test_the_most_negative_subjects_come_first_with_their_trend() -> None:
    calm, bad = Counts(count=9, positive=9, polarity_sum=9000), Counts(count=2, negative=2, polarity_sum=-9000)
    buckets = Buckets(start=0, end=60, counts={3: {CLDR: calm}, 7: {NGB: bad}, 59: {NGB: bad}}, marks=())
    found = rows_of(buckets, 5)
    assert [row.stats.subject for row in found] == [NGB, CLDR]
    assert found[0].trend == (0, 2, *[0] * 9, 2)
    assert rows_of(buckets, 1) == found[:1]


def test_the_picture_names_every_figure() -> None:
    buckets = Buckets(start=0, end=60, counts={7: {NGB: Counts(count=4, negative=3, neutral=1)}}, marks=())
    console = Console(width=100, record=True)
    console.print(render(rows_of(buckets, 5), until=60, events=["[red]FIRING[/] x"], progress="feeding"))
    text = console.export_text()
    assert all(part in text for part in ("entity:NGB", "75%", "+0.00", "FIRING x", "01:00"))

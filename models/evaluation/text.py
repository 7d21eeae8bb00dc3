"""A report as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from models.evaluation.bootstrap import LEVEL, RESAMPLES, Interval
from models.evaluation.compare import Comparison
from models.evaluation.latency import Latency
from models.evaluation.report import Part, Report
from models.evaluation.robustness import Check
from models.folder import Kind

Cells = Sequence[str]


def text(report: Report) -> str:
    """All that was found, as lines."""
    sections = (
        _figures(report),
        _by_label(report),
        _confusion(report),
        _calibration(report),
        _selective(report),
        _reading(report),
        _speed(report),
        _comparisons(report),
        _robustness(report),
    )
    return "\n\n".join("\n".join(lines) for lines in map(list, sections) if lines)


def table(header: Cells, rows: Iterable[Cells]) -> list[str]:
    """Aligned columns: the first to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    return [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=False))
        ).rstrip()
        for line in lines
    ]


def number(value: float) -> str:
    """Three decimals."""
    return f"{value:.3f}"


def interval(figure: Interval) -> str:
    """The value and its bounds."""
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _parts(report: Report) -> dict[str, Part]:
    """The whole, and the sources where there are several."""
    return {"all": report.whole, **(report.sources if len(report.sources) > 1 else {})}


def _name(figure: str) -> str:
    return figure.replace("_", " ").replace("f1", "F1")


def _figures(report: Report) -> Iterator[str]:
    yield f"{report.model}: {report.task} on {report.whole.rows:,} rows of {report.stories:,} stories"
    yield f"figures with {LEVEL:.0%} intervals, {RESAMPLES:,} resamples by {report.resampled}"
    yield ""
    yield from table(
        ("", "rows", *map(_name, report.whole.figures)),
        (
            (name, f"{part.rows:,}", *map(interval, part.figures.values()))
            for name, part in {**_parts(report), **report.slices}.items()
        ),
    )


def _by_label(report: Report) -> Iterator[str]:
    multi = report.kind is Kind.MULTI
    header = ("label", "rows", "precision", "recall", "F1", *(["average precision"] if multi else []))
    yield from table(
        header,
        (
            (
                row.label,
                f"{row.rows:,}",
                *map(number, (row.precision, row.recall, row.f1)),
                *([number(row.average_precision)] if row.average_precision is not None else []),
            )
            for row in report.by_label
        ),
    )


def _confusion(report: Report) -> Iterator[str]:
    if report.confusion:
        numbered = [f"{place} {label}" for place, label in enumerate(report.labels, start=1)]
        header = ("true ╲ answered", *(str(place) for place in range(1, len(numbered) + 1)))
        yield from table(
            header, ((name, *map(str, counts)) for name, counts in zip(numbered, report.confusion, strict=True))
        )


def _calibration(report: Report) -> Iterator[str]:
    served, fitted = f"{report.temperature_served:.2f}", f"{report.temperature_fitted:.2f}"
    yield from table(
        (
            "calibration error",
            "rows",
            "at temperature 1",
            f"as served (at {served})",
            "at one of other rows",
            "by chance",
        ),
        (
            (name, f"{part.rows:,}", *map(number, (row.unscaled, row.served, row.cross_fitted, row.by_chance)))
            for name, part in _parts(report).items()
            for row in [part.calibration]
        ),
    )
    yield f"all rows together say temperature {fitted}; by chance: what so many rows show of perfect calibration"


def _selective(report: Report) -> Iterator[str]:
    if report.selective:
        yield from table(
            ("surest answers", "rows", "accuracy", "confidence at least"),
            (
                (f"{row.coverage:.0%}", f"{row.rows:,}", number(row.accuracy), number(row.threshold))
                for row in report.selective
            ),
        )


def _reading(report: Report) -> Iterator[str]:
    read = report.reading
    if read is not None:
        long = f"{read.several_windows:,} in up to {read.most_windows}" if read.several_windows else "none in several"
        yield f"texts read in one window {read.one_window:,}, {long}; {read.cut_off:,} not to the end"
    if report.names_not_found:
        yield f"names that the model did not find in their text: {report.names_not_found:,} (answered for the text)"


def _speed(report: Report) -> Iterator[str]:
    rows = [("as served", report.latency), ("in full precision", report.latency_full_precision)]
    measured = [(name, latency) for name, latency in rows if latency is not None]
    if measured:
        yield from table(("speed", "p50", "p95", "texts per second"), (_speed_row(*row) for row in measured))
    if report.latency and report.latency_full_precision:
        ratio = report.latency.texts_per_second / report.latency_full_precision.texts_per_second
        yield f"as served {ratio:.1f} times as fast as in full precision, on this machine and what else it runs"


def _speed_row(name: str, latency: Latency) -> Cells:
    return name, f"{latency.p50_ms:.1f} ms", f"{latency.p95_ms:.1f} ms", f"{latency.texts_per_second:,.0f}"


def _comparisons(report: Report) -> Iterator[str]:
    parts = _parts(report)
    for found in (
        {name: part.full_precision for name, part in parts.items() if part.full_precision},
        {name: part.against for name, part in parts.items() if part.against},
    ):
        if found:
            yield from _comparison(found)


def _comparison(found: Mapping[str, Comparison]) -> Iterator[str]:
    one = next(iter(found.values()))
    yield f"first: {one.first}; second: {one.second}"
    yield from table(
        ("", "first", "second", "difference", "same answer", "only one right", "McNemar p", "largest difference"),
        (
            (
                name,
                number(one.accuracy_first),
                number(one.accuracy_second),
                interval(one.difference),
                f"{one.agreement:.1%}",
                f"{one.mcnemar.only_first:,} and {one.mcnemar.only_second:,}",
                f"{one.mcnemar.p_value:.3g} ({'exact' if one.mcnemar.exact else 'χ²'})",
                number(one.largest_difference),
            )
            for name, one in found.items()
        ),
    )


def _robustness(report: Report) -> Iterator[str]:
    if report.robustness:
        yield from table(
            ("robustness", "texts", "figure", "limit", ""), (_check_row(check) for check in report.robustness)
        )
        for check in report.robustness:
            if check.groups:
                means = ", ".join(f"{group} {mean:+.3f}" for group, mean in check.groups.items())
                yield f"{check.name}: mean polarity of {means}"


def _check_row(check: Check) -> Cells:
    def shown(value: float | None) -> str:
        return "–" if value is None else number(value) if check.groups else f"{value:.1%}"

    verdict = "" if check.limit is None or check.value is None else "holds" if check.holds else "past its limit"
    return check.name, f"{check.texts:,}", shown(check.value), shown(check.limit), verdict

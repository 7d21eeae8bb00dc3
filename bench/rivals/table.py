"""The table that bench.classifier prints."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from rich.markup import escape
from rich.table import Table

from bench.rivals.measuring import Turn
from bench.rivals.rows import OURS, REFERENCE, Rival


def results_table(
    rivals: Sequence[Rival],
    turns: Mapping[str, Sequence[Turn]],
    failed: Mapping[str, str],
    ceilings: Mapping[str, float],
) -> Table:
    """A row for each; below, why some have no figures."""
    table = Table(title="The classifier against others", title_justify="left")
    for title in ("", "documents/s", "of the turns", "tokens/s", "ours is", "of the ceiling", "peak MB", "off by"):
        table.add_column(title, justify="left" if not title else "right")
    ours = _median(turns.get(OURS, ()))
    for rival in rivals:
        if rival.name in failed:
            table.add_row(rival.title, "none")
            continue
        mine = turns[rival.name]
        rates = [turn.documents_per_second for turn in mine]
        rate = statistics.median(rates)
        ceiling = ceilings.get(rival.precision)
        operations = statistics.median(turn.operations_per_second for turn in mine)
        table.add_row(
            rival.title,
            f"{rate:,.0f}" if rate >= 100 else f"{rate:,.1f}",
            f"{min(rates):,.0f}–{max(rates):,.0f}",
            f"{statistics.median(turn.tokens_per_second for turn in mine):,.0f}",
            f"{ours / rate:.1f} times it" if ours and rival.name != OURS else "",
            f"{operations / ceiling:.0%} of {rival.precision}" if ceiling else "",
            f"{max(turn.peak_bytes for turn in mine) / 1e6:,.0f}",
            _off_by(rival, mine[0], turns),
        )
    table.caption = "\n".join(
        f"{rival.title}: {escape(failed[rival.name])}" for rival in rivals if rival.name in failed
    )
    table.caption_justify = "left"
    return table


def _off_by(rival: Rival, turn: Turn, turns: Mapping[str, Sequence[Turn]]) -> str:
    reference = turns.get("ours-fp32" if rival.environment == OURS else REFERENCE)
    if rival.base or not reference:
        return ""
    return f"{np.abs(np.array(turn.answers) - np.array(reference[0].answers)).max():.1e}"


def _median(turns: Sequence[Turn]) -> float | None:
    return statistics.median(turn.documents_per_second for turn in turns) if turns else None

"""What `groundswell dead-letters` shows of what strangers sent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from service import wiring
from service.cli import app
from stream.dead_letter_tools import LetterFilter, LetterList, StoredLetter
from stream.dead_letters import DeadLetter

AT = datetime(2026, 5, 1, tzinfo=UTC)
MEAN = "\x1b[2J\nforged"
STORED = StoredLetter(
    partition=0,
    offset=0,
    stored_at=AT,
    letter=DeadLetter(
        topic=MEAN,
        partition=0,
        offset=7,
        stage=MEAN,
        reason=MEAN,
        message=MEAN,
        attempt=1,
        at=AT,
        key=MEAN.encode(),
        value=MEAN.encode(),
        headers=((MEAN, MEAN.encode()),),
    ),
)


class Tools:
    """Stands for the letters of a Kafka."""

    def recent(self, which: LetterFilter, *, limit: int) -> LetterList:
        return LetterList(letters=(STORED,), reasons={MEAN: 1}, total=1, replayed=0)

    def at(self, partition: int, offset: int) -> StoredLetter:
        return STORED


@pytest.mark.parametrize(("command", "lines"), [(("list",), 2), (("show", "0:0"), 8)])
def test_what_strangers_wrote_cannot_write_over_the_terminal(
    command: tuple[str, ...], lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "dead_letters", lambda settings: Tools())
    result = CliRunner().invoke(app, ["dead-letters", *command])
    assert result.exit_code == 0, result.exception
    shown = result.stdout.splitlines()
    assert len(shown) == lines
    assert all(line.isprintable() for line in shown)
    assert r"\x1b[2J\nforged" in shown[0] + shown[1]

"""What a folder remembers of its model's training."""

from __future__ import annotations

from pathlib import Path

from models.seen import known_of, read_seen, write_seen


def test_a_folder_remembers_what_it_was_trained_on(tmp_path: Path) -> None:
    assert read_seen(tmp_path) == frozenset()
    write_seen(tmp_path, ["one", "two", "one"])
    seen = read_seen(tmp_path)
    assert len(seen) == 2
    write_seen(tmp_path, ["two"])
    assert read_seen(tmp_path) < seen


def test_texts_that_it_knows_are_counted_once_each(tmp_path: Path) -> None:
    assert known_of(tmp_path, ["one"]) is None
    write_seen(tmp_path, ["one", "two"])
    assert known_of(tmp_path, ["three"]) is None
    assert (
        known_of(tmp_path, ["one", "one", "three"]) == "was trained on 1 of 2 held-out texts: figures on them flatter"
    )

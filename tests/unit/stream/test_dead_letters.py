"""Dead letters keep what came, and say in headers what was wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.timeline import EPOCH
from stream.dead_letters import DeadLetter, dead_letter, decode_dead_letter, encode_headers, replay_headers
from stream.incoming import Headers, Incoming

NOW = datetime(2014, 1, 6, 14, 0, 0, 123000, tzinfo=UTC)
HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=4).map(tuple)


def incoming(headers: Headers = (), value: bytes | None = b"value") -> Incoming:
    return Incoming(topic="news", partition=3, offset=42, timestamp_ms=7, key=b"key", value=value, headers=headers)


def refuse(message: Incoming, text: str = "it has no text") -> DeadLetter:
    return dead_letter(message, stage="classify", error=InvalidInput("no_text", text), now=NOW)


def stored(letter: DeadLetter) -> Incoming:
    return Incoming(
        topic="dead-letters",
        partition=0,
        offset=9,
        timestamp_ms=8,
        key=letter.key,
        value=letter.value,
        headers=encode_headers(letter),
    )


def test_the_headers_say_where_why_and_when() -> None:
    assert encode_headers(refuse(incoming((("a", b"1"),)))) == (
        ("a", b"1"),
        ("groundswell.errors.topic", b"news"),
        ("groundswell.errors.partition", b"3"),
        ("groundswell.errors.offset", b"42"),
        ("groundswell.errors.stage", b"classify"),
        ("groundswell.errors.reason", b"no_text"),
        ("groundswell.errors.message", b"it has no text"),
        ("groundswell.errors.attempt", b"1"),
        ("groundswell.errors.at", b"2014-01-06T14:00:00.123Z"),
        ("groundswell.errors.timestamp", b"7"),
    )


@given(HEADERS, st.none() | st.binary(max_size=20))
def test_a_letter_comes_back_as_it_was_sent(headers: Headers, value: bytes | None) -> None:
    letter = refuse(incoming(headers, value))
    assert decode_dead_letter(stored(letter)) == letter
    assert (letter.headers, letter.value, letter.key) == (headers, value, b"key")


def test_each_replay_that_fails_again_counts_one_more_attempt() -> None:
    letter = refuse(incoming((("a", b"1"),)))
    for attempt in (2, 3):
        letter = refuse(incoming(replay_headers(letter)))
        assert letter.attempt == attempt
        assert letter.headers == (("a", b"1"),)


def test_a_long_message_is_cut_and_an_odd_one_is_still_sent() -> None:
    assert len(refuse(incoming(), "x" * 5000).message) == 1000
    assert ("groundswell.errors.message", b"half a pair: ?") in encode_headers(
        refuse(incoming(), "half a pair: \ud800")
    )


def test_a_letter_from_elsewhere_is_shown_as_far_as_it_can_be() -> None:
    letter = decode_dead_letter(
        incoming((("groundswell.errors.partition", b"x"), ("groundswell.errors.at", b"\xff"), ("b", None)))
    )
    assert (letter.topic, letter.partition, letter.offset, letter.reason) == ("", -1, -1, "unknown")
    assert (letter.attempt, letter.at, letter.headers) == (1, EPOCH, (("b", None),))

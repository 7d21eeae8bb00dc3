"""How far each partition of `scored` is recorded: the locks that put its writers in order, and what they find and leave
there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from domain.errors import Conflict
from domain.log import Partition
from domain.ports import Refused
from store.postgres.lateness import SourceState
from store.postgres.marks import state_of
from store.postgres.session import Session
from store.tables import MARK_STATUSES

# Rows are made and locked in the order of their numbers, so that nobody waits for a lower one while holding a higher
# one that others hold too. The last statement sees what those left who had the locks before.
_LOCK = (
    """
INSERT INTO progress (partition_id, next_offset)
SELECT partition_id, 0 FROM unnest($1::integer[]) AS locked (partition_id) ORDER BY partition_id
    ON CONFLICT DO NOTHING
""",
    """
SELECT FROM progress WHERE partition_id = ANY ($1::integer[]) ORDER BY partition_id FOR UPDATE
""",
    """
SELECT partition_id, progress.next_offset, source_partition_id, status, mark.next_offset, high_time, ended_at, fan_out
  FROM progress LEFT JOIN mark ON scored_partition_id = partition_id
 WHERE partition_id = ANY ($1::integer[])
""",
)

_SAVE_STATES = """
INSERT INTO mark (scored_partition_id, source_partition_id, status, next_offset, high_time, ended_at, fan_out)
SELECT * FROM unnest(%s::integer[], %s::integer[], %s::smallint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[],
                     %s::integer[])
    ON CONFLICT (scored_partition_id, source_partition_id) DO UPDATE
   SET status = excluded.status, next_offset = excluded.next_offset, high_time = excluded.high_time,
       ended_at = excluded.ended_at, fan_out = excluded.fan_out, recorded_at = excluded.recorded_at;
"""

_SAVE_REFUSALS = """
INSERT INTO refusal (partition_id, message_offset, reason, message)
SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::text[], %s::text[])
    ON CONFLICT DO NOTHING;
"""

_SAVE_OFFSETS = """
UPDATE progress SET next_offset = greatest(progress.next_offset, reached.next_offset), recorded_at = now()
  FROM unnest(%s::integer[], %s::bigint[]) AS reached (partition_id, next_offset)
 WHERE progress.partition_id = reached.partition_id;
"""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a partition of `scored` stands."""

    next_offset: int
    states: dict[Partition, SourceState] = field(default_factory=dict)
    """Everything that it knows of source partitions."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What a batch brings a partition of `scored`, given by its number, to."""

    number: int
    next_offset: int
    """It never goes back: a lower one changes nothing."""
    states: Mapping[Partition, SourceState]
    """Those that changed."""
    refused: Sequence[Refused]


def went_back(partition: Partition, recorded: int, found: int) -> Conflict:
    """What to raise when less is recorded of a partition than must be."""
    return Conflict(f"the history of {partition.topic}/{partition.number} went back from {recorded} to {found}")


def lock(session: Session, cursor: Cursor, numbers: Sequence[int]) -> dict[int, Standing]:
    """Lock the rows of these partitions, making those that there are not, and read where they stand as of then."""
    steps = "; ".join(f"{session.prepared(statement)} (%(numbers)s)" for statement in _LOCK)
    cursor.execute(steps, {"numbers": numbers})
    rows = cursor.fetchall()
    sources = session.partitions.keys(cursor, {row[2] for row in rows if row[2] is not None})
    standings: dict[int, Standing] = {}
    for number, next_offset, source, *state in rows:
        standing = standings.setdefault(number, Standing(next_offset=next_offset))
        if source is not None:
            standing.states[sources[source]] = state_of(*state)
    return standings


def read_refusals(cursor: Cursor, spans: Mapping[int, tuple[int, int]]) -> dict[int, list[Refused]]:
    """What of these messages was refused when they were recorded. `spans`: partition → first offset, and one past the
    last."""
    found: dict[int, list[Refused]] = {number: [] for number in spans}
    if spans:
        cursor.execute(
            "SELECT partition_id, message_offset, reason, message FROM refusal"
            " JOIN unnest(%s::integer[], %s::bigint[], %s::bigint[]) AS span (partition_id, start, finish)"
            " USING (partition_id) WHERE message_offset >= start AND message_offset < finish",
            (list(spans), [start for start, _ in spans.values()], [end for _, end in spans.values()]),
        )
        for number, offset, reason, message in cursor.fetchall():
            found[number].append(Refused(offset=offset, reason=reason, message=message))
    return found


def saving(session: Session, cursor: Cursor, reached: Sequence[Reached]) -> bytes:
    """The statements that save it."""
    states = [_state_row(session, to.number, *entry) for to in reached for entry in to.states.items()]
    refused = [(to.number, one.offset, one.reason, one.message) for to in reached for one in to.refused]
    offsets = [(to.number, to.next_offset) for to in reached]
    return b"".join(
        cursor.mogrify(statement, [list(column) for column in zip(*rows, strict=True)])
        for statement, rows in ((_SAVE_STATES, states), (_SAVE_REFUSALS, refused), (_SAVE_OFFSETS, offsets))
        if rows
    )


def _state_row(session: Session, number: int, source: Partition, state: SourceState) -> tuple[object, ...]:
    return (
        number,
        session.partitions[source],
        None if state.status is None else MARK_STATUSES[state.status],
        state.next_offset,
        state.high_time,
        state.ended_at,
        state.fan_out,
    )

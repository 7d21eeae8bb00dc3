"""What is written in Redis reads back as it was."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from support.builders import at, entity, news_partition, scored_partition, topic

from domain.log import MarkStatus, Partition
from domain.timeline import EPOCH
from domain.watermark import MarkState
from domain.window import Counts
from store.redis import codec

partitions = st.builds(
    Partition,
    topic=st.text("abcXYZ019._-", min_size=1, max_size=20),
    topic_id=st.uuids(),
    number=st.integers(0, 10_000),
)
times = st.none() | st.datetimes().map(lambda naive: naive.replace(tzinfo=EPOCH.tzinfo))


@given(partitions)
def test_a_partition_reads_back(partition: Partition) -> None:
    assert codec.decode_partition(codec.encode_partition(partition)) == partition
    assert codec.encode_partition(partition).startswith(codec.topic_id_prefix(partition))
    assert codec.topic_id_prefix(partition).startswith(codec.topic_prefix(partition))


def test_no_topic_begins_like_another() -> None:
    longer = Partition(topic="scored-2", topic_id=UUID(int=1), number=0)

    assert not codec.encode_partition(longer).startswith(codec.topic_prefix(scored_partition()))


@given(
    st.lists(
        st.builds(
            MarkState,
            scored=partitions,
            source=partitions,
            status=st.sampled_from(MarkStatus),
            next_offset=st.integers(0, 2**63 - 1),
            high_time=times,
            ended_at=times,
            fan_out=st.integers(1, 100),
        ),
        unique_by=lambda state: (state.scored, state.source),
    )
)
def test_marks_read_back_to_the_microsecond(states: list[MarkState]) -> None:
    encoded = codec.encode_marks(states)

    assert codec.decode_marks(text.encode() for text in encoded.values()) == tuple(states)


def test_a_mark_stands_in_a_field_of_the_two_partitions_that_it_is_about() -> None:
    state = MarkState(
        scored=scored_partition(1),
        source=news_partition(2),
        status=MarkStatus.IDLE,
        next_offset=3,
        high_time=at(1, 0.000001),
        ended_at=None,
        fan_out=2,
    )
    (field,) = codec.encode_marks([state])

    assert field == f"{codec.encode_partition(scored_partition(1))} {codec.encode_partition(news_partition(2))}"


def test_groups_never_pass_what_one_command_can_take_and_lose_nothing() -> None:
    crowd = [f"P{index}" for index in range(1_201)]
    increments = [(entity(f"S{index}"), index % 2, Counts(count=index), ()) for index in range(2_100)]
    groups = codec.encode_groups([*increments, (topic("Oil"), 0, Counts(count=9, negative=9), crowd)])

    assert max(len(subjects) for _, subjects, _, _ in groups) == codec.GROUP_LIMIT
    assert all(len(numbers) == 6 * len(subjects) for _, subjects, numbers, _ in groups)
    speakers = [part for _, _, _, found in groups for part in found]
    assert {subject for subject, _ in speakers} == {"topic:Oil"}
    assert max(len(names) for _, names in speakers) == codec.GROUP_LIMIT
    assert sorted(name for _, names in speakers for name in names) == sorted(crowd)
    written = Counter((minute, name) for minute, subjects, _, _ in groups for name in subjects)
    assert len(written) == 2_101
    assert set(written.values()) == {1}


def test_a_bucket_is_six_whole_numbers() -> None:
    assert codec.decode_bucket("3 2 0 1 -14000 106000000") == Counts(3, 2, 0, 1, -14_000, 106_000_000)

"""Making, describing and identifying topics on a real Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata
from support.kafka_world import Sent, produce

from domain.errors import PermanentError, TemporaryError
from service.embedded import MemoryKafka
from stream.admin import KafkaAdmin
from stream.kafka import KafkaConnection, SecurityProtocol
from stream.topics import (
    GroupLag,
    KafkaTopicIds,
    TopicOutcome,
    TopicPlan,
    create_topics,
    describe_topics,
    require_topics,
)

pytestmark = pytest.mark.servers

Names = Callable[[str], str]


@pytest.fixture
def admin(kafka_bootstrap: str) -> Iterator[KafkaAdmin]:
    with KafkaAdmin(KafkaConnection(bootstrap_servers=kafka_bootstrap)) as admin:
        yield admin


def test_topics_are_made_as_planned_and_making_them_again_changes_nothing(
    admin: KafkaAdmin, unique_topic: Names
) -> None:
    plans = [
        TopicPlan(name=unique_topic("news"), partitions=3, replication=1),
        TopicPlan(name=unique_topic("dead"), partitions=1, configs={"max.message.bytes": "5000000"}),
    ]

    first = create_topics(admin, plans)
    second = create_topics(admin, plans)

    assert [(change.outcome, change.partitions) for change in first] == [
        (TopicOutcome.CREATED, 3),
        (TopicOutcome.CREATED, 1),
    ]
    assert [(change.outcome, change.differs) for change in second] == [(TopicOutcome.UNCHANGED, ())] * 2
    news, dead = describe_topics(admin, [plan.name for plan in plans])
    assert [(p.number, p.leader is not None, p.replicas, p.in_sync, p.start, p.end) for p in news.partitions] == [
        (number, True, 1, 1, 0, 0) for number in range(3)
    ]
    assert dead.configs["max.message.bytes"] == "5000000"


def test_a_topic_grows_when_more_partitions_are_asked_for(admin: KafkaAdmin, unique_topic: Names) -> None:
    name = unique_topic("news")
    create_topics(admin, [TopicPlan(name=name, partitions=1)])

    [change] = create_topics(admin, [TopicPlan(name=name, partitions=4)])

    assert (change.outcome, change.partitions) == (TopicOutcome.GREW, 4)
    [topic] = describe_topics(admin, [name])
    assert len(topic.partitions) == 4


def test_what_can_t_be_changed_is_left_alone_and_named(admin: KafkaAdmin, unique_topic: Names) -> None:
    name = unique_topic("news")
    create_topics(admin, [TopicPlan(name=name, partitions=3, configs={"retention.ms": "1000000"})])

    [change] = create_topics(
        admin, [TopicPlan(name=name, partitions=2, replication=2, configs={"retention.ms": "2000000"})]
    )

    assert (change.outcome, change.partitions) == (TopicOutcome.UNCHANGED, 3)
    fewer, replicas, retention = change.differs
    assert "can't take partitions away" in fewer
    assert "1 replicas, 2 were asked for" in replicas
    assert "retention.ms is 1000000, 2000000 was asked for" in retention


def test_more_replicas_than_brokers_is_an_error_that_says_so(admin: KafkaAdmin, unique_topic: Names) -> None:
    with pytest.raises(PermanentError, match="Replication"):
        create_topics(admin, [TopicPlan(name=unique_topic("news"), partitions=1, replication=9)])


def test_a_topic_that_is_not_there_is_described_as_such(admin: KafkaAdmin, unique_topic: Names) -> None:
    [topic] = describe_topics(admin, [unique_topic("none")])

    assert not topic.exists
    assert topic.partitions == ()


async def test_the_lag_of_a_group_is_what_it_has_not_acknowledged(
    admin: KafkaAdmin, kafka_bootstrap: str, unique_topic: Names
) -> None:
    name, group = unique_topic("news"), unique_topic("group")
    create_topics(admin, [TopicPlan(name=name, partitions=2)])
    await produce(kafka_bootstrap, [Sent(topic=name, value=b"x", partition=n % 2) for n in range(10)])
    consumer = KafkaConsumer(bootstrap_servers=kafka_bootstrap, group_id=group, enable_auto_commit=False)
    consumer.assign([TopicPartition(name, 0)])
    consumer.commit({TopicPartition(name, 0): OffsetAndMetadata(3, "", -1)})
    consumer.close()

    [topic] = describe_topics(admin, [name], [group, unique_topic("never")])

    assert topic.messages == 10
    assert topic.lags == (
        GroupLag(group=group, number=0, committed=3, lag=2),
        GroupLag(group=group, number=1, committed=None, lag=5),
    )


def test_a_topic_made_anew_has_another_id(admin: KafkaAdmin, unique_topic: Names) -> None:
    name, other = unique_topic("scored"), unique_topic("other")
    create_topics(admin, [TopicPlan(name=name, partitions=1), TopicPlan(name=other, partitions=1)])
    ids = KafkaTopicIds(admin)
    before = ids.topic_id(name)
    assert ids.topic_id(name) == before
    assert ids.topic_id(other) != before

    admin.run(lambda client: client.delete_topics([name]))
    with pytest.raises(PermanentError, match=rf"{name}.*topics create"):
        ids.topic_id(name)
    create_topics(admin, [TopicPlan(name=name, partitions=1)])

    assert ids.topic_id(name) != before


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (KafkaConnection(bootstrap_servers="127.0.0.1:1"), "nothing listens at 127.0.0.1:1"),
        (KafkaConnection(bootstrap_servers="nowhere.invalid:9092"), "the host name nowhere.invalid is unknown"),
    ],
)
def test_an_address_where_no_kafka_is_is_named_with_what_to_check(connection: KafkaConnection, said: str) -> None:
    with KafkaAdmin(connection, timeout=1) as admin, pytest.raises(TemporaryError, match=said):
        describe_topics(admin, ["news"])


def test_another_protocol_than_the_broker_s_is_named_without_the_password(kafka_bootstrap: str) -> None:
    connection = KafkaConnection(
        bootstrap_servers=kafka_bootstrap,
        security_protocol=SecurityProtocol.SASL_PLAINTEXT,
        username="someone",
        password="hunter2",
    )
    with KafkaAdmin(connection, timeout=1) as admin, pytest.raises(TemporaryError) as raised:
        describe_topics(admin, ["news"])

    assert "does not answer as Kafka does over SASL_PLAINTEXT" in str(raised.value)
    assert "hunter2" not in str(raised.value)


async def test_the_in_memory_broker_makes_topics_by_itself_and_their_ids_are_derived() -> None:
    with MemoryKafka() as broker:
        bootstrap = broker.address.bootstrap_servers
        with KafkaAdmin(KafkaConnection(bootstrap_servers=bootstrap)) as admin:
            assert admin.in_memory()
            [change] = create_topics(admin, [TopicPlan(name="news", partitions=2)])
            require_topics(admin, ["news"])
            await produce(bootstrap, [Sent(topic="news", value=b"x", partition=0)])

            [topic] = describe_topics(admin, ["news"])

            assert (change.outcome, change.partitions) == (TopicOutcome.UNCHANGED, 0)
            assert KafkaTopicIds(admin).topic_id("news") == topic.topic_id == KafkaTopicIds(admin).topic_id("news")
            assert topic.messages == 1

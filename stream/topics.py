"""The topics: making them, describing them, and telling one incarnation of a topic from the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

import kafka
from kafka import errors
from kafka.admin import KafkaAdminClient

from domain.errors import PermanentError
from stream.admin import KafkaAdmin
from stream.incoming import TopicPartition
from stream.topic_queries import configs_of, exists, log_ranges, partitions_of, topic_id_of

BROKER_DEFAULT: Final = -1
"""Leave it to the broker."""

DESCRIBED_CONFIGS: Final = (
    "cleanup.policy",
    "max.message.bytes",
    "message.timestamp.type",
    "min.insync.replicas",
    "retention.bytes",
    "retention.ms",
)
"""The topic configurations that matter to Groundswell."""


@dataclass(frozen=True, kw_only=True)
class TopicPlan:
    """A topic as it should be."""

    name: str
    partitions: int = BROKER_DEFAULT
    replication: int = BROKER_DEFAULT
    configs: Mapping[str, str] = field(default_factory=dict)
    """Given to a topic that is made; those of a topic that exists are compared with them and left alone."""

    def __post_init__(self) -> None:
        for name, number in (("partitions", self.partitions), ("replication", self.replication)):
            if number < 1 and number != BROKER_DEFAULT:
                raise ValueError(f"{name} of topic {self.name} must be at least 1, got {number}")


class TopicOutcome(StrEnum):
    """What `create_topics` did to a topic."""

    CREATED = "created"
    GREW = "grew"
    """It existed and was given more partitions."""
    UNCHANGED = "unchanged"


@dataclass(frozen=True, kw_only=True)
class TopicChange:
    """What became of one plan. `differs` says, one line each, in what the topic is not as planned."""

    topic: str
    outcome: TopicOutcome
    partitions: int
    """How many it has; 0 when it is not there yet."""
    differs: tuple[str, ...] = ()


def create_topics(admin: KafkaAdmin, plans: Sequence[TopicPlan]) -> tuple[TopicChange, ...]:
    """Make the topics that do not exist, and give more partitions to those that have too few.

    Doing it again changes nothing. A topic can't be given fewer partitions or other replicas: it is left as it is, and
    the difference is named. An in-memory broker makes its topics itself, when they are first used. Raises
    TemporaryError and PermanentError as KafkaAdmin does.
    """
    if admin.in_memory():
        differs = ("this broker makes topics by itself, when they are first used",)
        return tuple(
            TopicChange(topic=plan.name, outcome=TopicOutcome.UNCHANGED, partitions=0, differs=differs)
            for plan in plans
        )
    return admin.run(lambda client: tuple(_create(client, plan) for plan in plans))


def _create(client: KafkaAdminClient, plan: TopicPlan) -> TopicChange:
    wanted = {
        "num_partitions": plan.partitions,
        "replication_factor": plan.replication,
        "configs": dict(plan.configs),
    }
    try:
        client.create_topics({plan.name: wanted}, wait_for_metadata=True)
    except errors.TopicAlreadyExistsError:
        return _converge(client, plan)
    return TopicChange(topic=plan.name, outcome=TopicOutcome.CREATED, partitions=len(partitions_of(client, plan.name)))


def _converge(client: KafkaAdminClient, plan: TopicPlan) -> TopicChange:
    partitions = partitions_of(client, plan.name)
    count, outcome, differs = len(partitions), TopicOutcome.UNCHANGED, []
    if plan.partitions > count:
        client.create_partitions({plan.name: plan.partitions})
        client.wait_for_topics([plan.name])
        count, outcome = plan.partitions, TopicOutcome.GREW
    elif plan.partitions != BROKER_DEFAULT and plan.partitions < count:
        differs.append(
            f"it has {count} partitions, {plan.partitions} were asked for: Kafka can't take partitions away; "
            "make the topic anew to have fewer"
        )
    replicas = max(len(partition["replica_nodes"]) for partition in partitions)
    if plan.replication not in (BROKER_DEFAULT, replicas):
        differs.append(
            f"it has {replicas} replicas, {plan.replication} were asked for: change it with kafka-reassign-partitions"
        )
    configs = configs_of(client, plan.name, plan.configs)
    differs += [
        f"its {name} is {configs[name]}, {value} was asked for: change it with kafka-configs"
        for name, value in plan.configs.items()
        if name in configs and configs[name] != value
    ]
    return TopicChange(topic=plan.name, outcome=outcome, partitions=count, differs=tuple(differs))


@dataclass(frozen=True, kw_only=True)
class PartitionDescription:
    """One partition: offsets in its log are [start, end)."""

    number: int
    leader: int | None
    """None: it has no leader at the moment."""
    replicas: int
    in_sync: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class GroupLag:
    """How far a consumer group has come on one partition. `committed` is None when it never committed here."""

    group: str
    number: int
    committed: int | None
    lag: int
    """Messages that it has not acknowledged."""


@dataclass(frozen=True, kw_only=True)
class TopicDescription:
    """A topic as it is; `topic_id` is None when it does not exist."""

    name: str
    topic_id: UUID | None
    partitions: tuple[PartitionDescription, ...] = ()
    configs: Mapping[str, str] = field(default_factory=dict)
    lags: tuple[GroupLag, ...] = ()
    """Of the groups asked for, those that ever committed on this topic."""

    @property
    def exists(self) -> bool:
        """Whether there is such a topic."""
        return self.topic_id is not None

    @property
    def messages(self) -> int:
        """Offsets between the starts and the ends of the logs."""
        return sum(partition.end - partition.start for partition in self.partitions)


def describe_topics(
    admin: KafkaAdmin, names: Sequence[str], groups: Sequence[str] = ()
) -> tuple[TopicDescription, ...]:
    """Each topic's partitions, the configurations that matter, and the lag of the groups."""
    # An in-memory broker hangs up when it is asked for configurations.
    configs = () if admin.in_memory() else DESCRIBED_CONFIGS
    return admin.run(lambda client: tuple(_describe(client, name, groups, configs) for name in names))


def require_topics(admin: KafkaAdmin, names: Sequence[str]) -> None:
    """Raise PermanentError when one of the topics is missing. (An in-memory broker makes them when they are used.)"""
    missing = admin.run(lambda client: [name for name in names if not exists(client, name)])
    if missing and not admin.in_memory():
        raise PermanentError(
            f"there is no topic {', '.join(missing)} in Kafka at {admin.connection.bootstrap_servers}: make it with "
            "`groundswell topics create`"
        )


def _describe(client: KafkaAdminClient, name: str, groups: Sequence[str], configs: Sequence[str]) -> TopicDescription:
    try:
        metadata = partitions_of(client, name)
    except errors.UnknownTopicOrPartitionError:
        return TopicDescription(name=name, topic_id=None)
    numbers = [partition["partition_index"] for partition in metadata]
    ranges = log_ranges(client, [TopicPartition(name, number) for number in numbers])
    partitions = tuple(
        PartitionDescription(
            number=partition["partition_index"],
            leader=partition["leader_id"] if partition["leader_id"] >= 0 else None,
            replicas=len(partition["replica_nodes"]),
            in_sync=len(partition["isr_nodes"]),
            start=ranges[TopicPartition(name, partition["partition_index"])].start,
            end=ranges[TopicPartition(name, partition["partition_index"])].stop,
        )
        for partition in metadata
    )
    return TopicDescription(
        name=name,
        topic_id=topic_id_of(client, name),
        partitions=partitions,
        configs=configs_of(client, name, configs),
        lags=tuple(lag for group in groups for lag in _lags(client, group, name, partitions)),
    )


def _lags(
    client: KafkaAdminClient, group: str, topic: str, partitions: Iterable[PartitionDescription]
) -> list[GroupLag]:
    places = {partition.number: kafka.TopicPartition(topic, partition.number) for partition in partitions}
    committed = client.list_group_offsets({group: list(places.values())})[group]
    offsets = {number: committed[place].offset for number, place in places.items()}
    if all(offset < 0 for offset in offsets.values()):
        return []
    return [
        GroupLag(
            group=group,
            number=partition.number,
            committed=offsets[partition.number] if offsets[partition.number] >= 0 else None,
            lag=max(0, partition.end - max(offsets[partition.number], partition.start)),
        )
        for partition in partitions
    ]


class KafkaTopicIds:
    """The broker's topic ids (KIP-516); for a broker that has none, derived from the cluster's id and the name."""

    def __init__(self, admin: KafkaAdmin) -> None:
        self._admin = admin

    def topic_id(self, topic: str) -> UUID:
        """Asked anew each time. Raises PermanentError when there is no such topic."""
        try:
            return self._admin.run(lambda client: topic_id_of(client, topic))
        except PermanentError as error:
            raise PermanentError(f"topic {topic}: {error}") from error.__cause__

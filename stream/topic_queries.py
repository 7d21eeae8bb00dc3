"""What the admin client is asked about topics. Every function raises kafka-python's errors, and is called through
KafkaAdmin.run, which translates them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID, uuid5

import kafka
from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec

from stream.incoming import TopicPartition

_NAMESPACE: Final = UUID("6f0d5f3e-7a0c-4c7e-9a53-0f6f4ea4b1c7")
"""Where ids are derived for brokers that give topics none."""


def topic_id_of(client: KafkaAdminClient, topic: str) -> UUID:
    """The broker's id of a topic (KIP-516); where it has none, derived from the cluster's id and the name."""
    given = metadata_of(client, topic).get("topic_id")
    if given is not None and UUID(str(given)).int:
        return UUID(str(given))
    return uuid5(_NAMESPACE, f"{client.describe_cluster()['cluster_id']}\0{topic}")


def exists(client: KafkaAdminClient, topic: str) -> bool:
    """Whether there is such a topic."""
    try:
        metadata_of(client, topic)
    except errors.UnknownTopicOrPartitionError:
        return False
    return True


def partitions_of(client: KafkaAdminClient, topic: str) -> list[dict[str, Any]]:
    """What the cluster says of each partition, by number."""
    partitions: list[dict[str, Any]] = metadata_of(client, topic)["partitions"]
    return sorted(partitions, key=lambda partition: int(partition["partition_index"]))


def metadata_of(client: KafkaAdminClient, topic: str) -> dict[str, Any]:
    """What the cluster says of a topic."""
    [found] = client.describe_topics([topic])
    if found["error_code"]:
        raise errors.for_code(found["error_code"])(topic)
    return dict(found)


def configs_of(client: KafkaAdminClient, topic: str, names: Iterable[str]) -> dict[str, str]:
    """Those of the named configurations that a topic has; none when we may not ask."""
    wanted = dict.fromkeys(names)
    if not wanted:
        return {}
    try:
        described = client.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, wanted)], config_filter="all"
        )
    except (errors.AuthorizationError, errors.UnsupportedVersionError):
        return {}
    return {name: str(entry["value"]) for name, entry in described["topic"][topic].items()}


def log_ranges(client: KafkaAdminClient, places: Sequence[TopicPartition]) -> dict[TopicPartition, range]:
    """The offsets [start, end) that each log holds now; the end is that of what is replicated."""
    if not places:
        return {}
    starts, ends = (
        client.list_partition_offsets({kafka.TopicPartition(*place): spec for place in places})
        for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
    )
    return {place: range(starts[place].offset, ends[place].offset) for place in places}

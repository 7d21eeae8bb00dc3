"""What a Kafka cluster is: for checking whether it is fit."""

from __future__ import annotations

from dataclasses import dataclass

from kafka.admin import KafkaAdminClient

from stream.admin import KafkaAdmin

MINIMUM_VERSION = (2, 8)
"""The first whose topics have ids (KIP-516), which tell a topic from another made anew under its name."""


@dataclass(frozen=True, kw_only=True)
class KafkaFacts:
    """One cluster, at one moment."""

    version: tuple[int, ...]
    """As far as the protocols that its brokers speak tell; the oldest broker's."""
    brokers: int

    @property
    def too_old(self) -> bool:
        """Whether we can't work with it."""
        return self.version < MINIMUM_VERSION


def inspect(admin: KafkaAdmin) -> KafkaFacts:
    """Ask the cluster. Errors as KafkaAdmin's."""
    return admin.run(_inspect)


def _inspect(client: KafkaAdminClient) -> KafkaFacts:
    brokers = [broker["broker_id"] for broker in client.describe_cluster()["brokers"]]
    versions = [client.get_broker_version_data(broker).broker_version for broker in brokers]
    return KafkaFacts(version=min(versions), brokers=len(brokers))

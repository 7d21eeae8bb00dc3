"""The Faust app behind a stage: group membership, rebalancing and fetching are Faust's; what is fetched is handed on in
runs (`stream/run_consumer.py`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver
from yarl import URL

from domain.errors import TemporaryError
from stream.header_names import read_any_header_name
from stream.incoming import TopicPartition
from stream.kafka import KafkaConnection
from stream.run_consumer import Owner, Position, RunConsumer


@dataclass(frozen=True, kw_only=True)
class MembershipPolicy:
    """How a process is a member of its consumer group. Times are in seconds."""

    session_timeout: float = 6.0
    """A process that is silent for so long loses its partitions."""
    heartbeat: float = 1.5
    rebalance_timeout: float = 60.0
    request_timeout: float = 40.0
    max_poll_interval: float = 7 * 86_400.0
    """While a sink is down nothing is fetched, and the group must not be left for it; a process that is stuck is found
    by its own watchdog."""
    metadata_max_age: float = 20.0
    """New topics and partitions are noticed after so long."""
    max_fetch_bytes: int = 1 << 20
    """Per partition and fetch; a larger message is still fetched, alone."""
    max_fetch_messages: int = 2000
    """Per fetch."""


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer = RunConsumer


class _ConsumingOnly(BootStrategy):  # type: ignore[misc]
    enable_web = False
    enable_kafka_producer = False


class StageApp(faust.App):  # type: ignore[misc]
    """A Faust app that consumes topics for its owner and does nothing else: no web server, no producer, no tables."""

    BootStrategy = _ConsumingOnly
    logger = logging.getLogger("faust.app")

    def __init__(
        self,
        *,
        connection: KafkaConnection,
        group: str,
        topics: tuple[str, ...],
        membership: MembershipPolicy,
        owner: Owner,
    ) -> None:
        super().__init__(
            group,
            env={},  # settings come from our own file, never from Faust's variables
            autodiscover=False,
            cython_optimizations=True,
            topic_disable_leader=True,
            topic_allow_declare=False,
            table_standby_replicas=0,
            processing_guarantee="at_least_once",
            web_enabled=False,
            key_serializer="raw",
            value_serializer="raw",
            stream_recovery_delay=0.0,
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=round(membership.metadata_max_age * 1000),
            consumer_max_fetch_size=membership.max_fetch_bytes,
            broker_max_poll_records=membership.max_fetch_messages,
            broker_max_poll_interval=membership.max_poll_interval,
            broker_session_timeout=membership.session_timeout,
            broker_heartbeat_interval=membership.heartbeat,
            broker_rebalance_timeout=membership.rebalance_timeout,
            broker_request_timeout=membership.request_timeout,
            **connection.faust(),
        )
        read_any_header_name()
        self.owner = owner
        self.transport = _Transport([URL(url) for url in self.conf.broker], self)
        self.runs = self.channel(maxsize=1)
        self.topics.add(self.topic(*topics))
        self.agent(self.runs, name="intake")(self._fill)
        self.on_rebalance_complete.connect(self._prepare)

    async def positions(self) -> dict[TopicPartition, Position]:
        """Of each partition of the assignment. Raises TemporaryError when that is changing."""
        try:
            return dict(await self.consumer.reading_positions())
        except KafkaError as error:
            raise TemporaryError(f"the assignment is changing ({type(error).__name__})") from error

    async def commit_positions(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets of the current assignment. False when the group has moved on meanwhile."""
        return bool(await self.consumer.commit_positions(offsets))

    async def on_first_start(self) -> None:
        """Make no data folder: there are no tables."""

    async def _prepare(self, *_: Any, **__: Any) -> None:
        await self.consumer.prepare()

    async def _fill(self, stream: Any) -> None:
        async for run in stream:
            if self.consumer.take(run):
                await self.owner.offer(run)

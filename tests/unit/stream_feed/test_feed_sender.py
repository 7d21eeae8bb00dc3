"""What a feed does with its messages when it is interrupted."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from stream.feed_sender import FeedSender
from stream.incoming import TopicPartition
from stream.kafka import KafkaConnection
from stream.producer import Record


class SlowProducer:
    """Takes messages down at once, and says so later."""

    def __init__(self) -> None:
        self.written: list[Record] = []
        self.acknowledge = asyncio.Event()

    async def partitions(self, topic: str) -> int:
        return 1

    async def send(self, runs: Mapping[TopicPartition, Sequence[Record]]) -> None:
        self.written += [record for run in runs.values() for record in run]
        await self.acknowledge.wait()


async def test_what_is_on_its_way_when_a_feed_is_interrupted_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = SlowProducer()
    monkeypatch.setattr("stream.feed_sender.Producer", lambda connection, name: producer)
    monkeypatch.setattr(FeedSender, "_require", lambda sender, topics: None)
    sender = FeedSender(KafkaConnection(bootstrap_servers="nowhere:1"))
    await sender.start(["news"])
    await sender.send("news", b"one", b"{}")
    flushing = asyncio.create_task(sender.flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    flushing.cancel()
    await asyncio.sleep(0)
    producer.acknowledge.set()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    await sender.flush()

    assert producer.written == [Record(b"one", b"{}")]

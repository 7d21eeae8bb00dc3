"""Documents given over HTTP reach a real Kafka, all or none."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator

import pytest
from support.kafka_world import make_topics, read_all

from domain.document import Kind
from domain.errors import PermanentError
from stream import messages
from stream.incoming import Incoming
from stream.kafka import KafkaConnection
from stream.messages import MessagePolicy
from stream.publish import KafkaPublisher, Refused

pytestmark = pytest.mark.servers


class World:
    def __init__(self, bootstrap: str) -> None:
        tag = uuid.uuid4().hex[:10]
        self.bootstrap = bootstrap
        self.topics = {Kind.NEWS: f"news-{tag}", Kind.COMMENT: f"comments-{tag}"}
        make_topics(bootstrap, dict.fromkeys(self.topics.values(), 2))
        self.publisher = KafkaPublisher(KafkaConnection(bootstrap_servers=bootstrap), topics=self.topics)

    def messages(self, kind: Kind) -> list[Incoming]:
        found = asyncio.run(read_all(self.bootstrap, self.topics[kind]))
        return [message for number in sorted(found) for message in found[number]]


@pytest.fixture
def world(kafka_bootstrap: str) -> Iterator[World]:
    world = World(kafka_bootstrap)
    yield world
    world.publisher.close()


def test_what_is_returned_is_what_the_classify_stage_will_read(world: World) -> None:
    items = [
        {"text": "Oil falls $XOM", "source": "Wire", "published_at": "2014-01-06T14:00:00Z"},
        {"text": "Agreed", "kind": "comment", "author": "ann", "id": "c-1"},
    ]

    news, comment = world.publisher.publish(items)

    for document, kind in ((news, Kind.NEWS), (comment, Kind.COMMENT)):
        [message] = world.messages(kind)
        assert messages.decode(message.value, (), message.timestamp_ms, kind, MessagePolicy()) == document
        assert message.key == document.id.encode()
    assert news.symbols == ("XOM",)
    assert "kind" not in json.loads(world.messages(Kind.COMMENT)[0].value or b"")


def test_when_one_is_not_valid_none_is_published(world: World) -> None:
    with pytest.raises(Refused):
        world.publisher.publish([{"text": "good"}, {}])

    assert world.messages(Kind.NEWS) == []


def test_many_requests_at_once_all_arrive(world: World) -> None:
    def post(first: int) -> None:
        world.publisher.publish([{"text": "x", "id": str(number)} for number in range(first, first + 100)])

    threads = [threading.Thread(target=post, args=(n * 100,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {message.key for message in world.messages(Kind.NEWS)} == {str(number).encode() for number in range(800)}


def test_it_can_be_closed_and_used_again(world: World) -> None:
    world.publisher.publish([{"text": "one"}])
    world.publisher.close()
    world.publisher.publish([{"text": "two"}])

    assert len(world.messages(Kind.NEWS)) == 2


def test_a_missing_topic_is_named_with_what_to_do(world: World, kafka_bootstrap: str) -> None:
    topics = {**world.topics, Kind.NEWS: f"none-{uuid.uuid4().hex}"}
    publisher = KafkaPublisher(KafkaConnection(bootstrap_servers=kafka_bootstrap), topics=topics)

    with pytest.raises(PermanentError, match=rf"{topics[Kind.NEWS]}.*topics create"):
        publisher.publish([{"text": "x"}])

"""The classify stage: read, score, compose, write. From the source topics to the scored log, with event time.

Everything that a batch causes is acknowledged by Kafka before its offsets are committed: documents, the marks behind
them in every partition of the scored topic, dead letters. After a crash a batch is read again; the record stage counts
a document at the first message that brought it.

A batch belongs to one model from the moment it is read, even if another one takes over meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

from domain.classification import Classification
from domain.document import Document, Kind
from domain.log import Partition
from domain.ports import Names, ScoreObserver, Telemetry, TopicIds
from stream.compose import Composed, Composer, places_of
from stream.dead_letters import DeadLetterWriter
from stream.incoming import Batch, TopicPartition
from stream.intake import Intake, IntakePolicy, Step
from stream.kafka import KafkaConnection
from stream.live_model import LiveModel
from stream.marks import Progress
from stream.messages import MessagePolicy
from stream.model_follower import ModelFollower, show_running
from stream.offsets import Offsets
from stream.producer import Producer
from stream.read import Reader, Reading
from stream.run_consumer import Position

log = logging.getLogger(__name__)

T = TypeVar("T")

STAGE: Final = "classify"


@dataclass(frozen=True, kw_only=True)
class ClassifyPolicy:
    """Bounds of the classify stage. Times are in seconds."""

    limits: MessagePolicy = field(default_factory=MessagePolicy)
    idle_after: float = 30.0
    """A source partition that was read to its end and brought nothing for so long does not hold event time back."""
    idle_check: float = 2.0
    """How often Kafka is asked whether quiet partitions were read to their end."""
    max_scored_bytes: int = 900_000
    """Of a message of the scored topic."""
    names: Names = field(default_factory=dict)
    """By which texts speak of the symbols, beside their cashtags."""
    intake: IntakePolicy = field(default_factory=IntakePolicy)


@dataclass(frozen=True, kw_only=True)
class ClassifyTopics:
    """Names of topics."""

    news: str = "news"
    comments: str = "comments"
    scored: str = "scored"
    dead_letters: str = "dead-letters"

    @property
    def sources(self) -> dict[str, Kind]:
        """What sort of document each source topic brings."""
        return {self.news: Kind.NEWS, self.comments: Kind.COMMENT}


class ClassifyStage:
    """Implements stream.intake.Stage."""

    def __init__(
        self,
        *,
        connection: KafkaConnection,
        group: str,
        topics: ClassifyTopics,
        model: LiveModel,
        policy: ClassifyPolicy,
        topic_ids: TopicIds,
        telemetry: Telemetry,
        positions: Callable[[], Awaitable[Mapping[TopicPartition, Position]]],
        follower: ModelFollower | None = None,
        observers: Sequence[ScoreObserver] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`positions`: of each partition of the assignment. `follower`: whoever exchanges `model`."""
        self._positions = positions
        self._topics = topics
        self._policy = policy
        self._topic_ids = topic_ids
        self._telemetry = telemetry
        self._clock = clock
        self._live = model
        self._follower = follower
        self._observers = tuple(observers)
        self._composer = Composer(stage=STAGE, scored_topic=topics.scored, max_scored_bytes=policy.max_scored_bytes)
        self._producer = Producer(connection, name=STAGE, compression="zstd")
        self._letters = DeadLetterWriter(connection, topics.dead_letters)
        self._offsets = Offsets(connection, group)
        self._progress = Progress(fan_out=1)
        self._next_idle_check = 0.0
        self._reader = Reader(model, sources=topics.sources, limits=policy.limits, names=policy.names)
        self._decoder = ThreadPoolExecutor(1, "classify-read")
        self._model = ThreadPoolExecutor(1, "classify-model")

    @property
    def name(self) -> str:
        return STAGE

    @property
    def steps(self) -> tuple[Step, ...]:
        return (self.read, self.score, self.compose, self.write)

    async def start(self) -> None:
        show_running(self._telemetry, self._live.get().classifier.model)
        for observer in self._observers:
            observer.start()
        if self._follower is not None:
            self._follower.start()

    async def stop(self) -> None:
        if self._follower is not None:
            self._follower.stop()
        for observer in self._observers:
            observer.stop()
        self._decoder.shutdown(wait=False, cancel_futures=True)
        self._model.shutdown(wait=False, cancel_futures=True)
        await self._producer.stop()
        await self._letters.stop()
        await self._offsets.close()

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Say in the scored log which source partitions there are and which of them are not read to their end, before
        anything else is said of them."""
        sources = {topic: await self._producer.partitions(topic) for topic in self._topics.sources}
        every = frozenset(TopicPartition(topic, number) for topic, count in sources.items() for number in range(count))
        ends = await self._offsets.ends(every)
        starts = await self._offsets.beginnings(every) | await self._offsets.committed(every)
        identities = await self._identify(every)
        progress = Progress(fan_out=await self._producer.partitions(self._topics.scored))
        begun = progress.begin(
            owned={place: identities[place] for place in partitions},
            others={place: identities[place] for place in every - partitions},
            starts=starts,
            ends=ends,
            now=_monotonic(),
        )
        composed = Composed()
        self._composer.add_marks(composed, begun, progress.fan_out)
        await self._producer.send(composed.runs)
        self._count(composed)
        self._progress = progress
        return {}

    async def revoked(self) -> None:
        """Nothing: the next assignment begins anew."""

    # --- steps -------------------------------------------------------------------------------------------------------

    async def read(self, batch: Batch) -> Reading:
        """Decode the messages, and make their texts ready for the model while that is busy with the batch before."""
        return await self._in_thread(self._decoder, self._reader.read, batch.messages)

    async def score(self, reading: Reading) -> Reading:
        """Run the model in its own thread."""
        if reading.to_score:
            await self._in_thread(self._model, self._score, reading)
        return reading

    async def compose(self, reading: Reading) -> Composed:
        """Make the messages to be written. Whatever can fail for now comes before, so that it is done once."""
        progress = self._progress
        places = places_of(reading.items)
        for place, first in places.items():
            if progress.went_back(place, first):
                log.warning("offset %d of %s-%d comes again: was the topic cut off, or made anew?", first, *place)
                progress.restart(place, (await self._identify({place}))[place])
        quiet = await self._quiet()
        # What moves event time on asks first whether it leaves anything behind in a partition that holds nothing back.
        unheld = progress.unheld - places.keys() if places else frozenset()
        asked = _monotonic()
        ends = await self._offsets.ends(unheld) if unheld else {}
        progress.fan_out = await self._producer.partitions(self._topics.scored)
        now = _monotonic()
        composed = self._composer.compose(
            reading.items,
            progress,
            first=progress.woke(ends, self._policy.idle_after, asked=asked, now=now),
            config_hash=reading.config_hash,
            now=self._clock(),
            monotonic=now,
        )
        still_quiet = progress.quiet(self._policy.idle_after, now)
        idle = {place: end for place, end in quiet.items() if place in still_quiet}
        self._composer.add_marks(composed, progress.idle(idle, now), progress.fan_out)
        return composed

    async def write(self, composed: Composed) -> None:
        """Write it all; returns when all of it is acknowledged."""
        if composed.letters:
            await self._letters.send(composed.letters)
            self._telemetry.count("documents_total", len(composed.letters), stage=STAGE, outcome="dead_letter")
            for letter in composed.letters:
                self._telemetry.count("dead_letters_total", stage=STAGE, reason=letter.reason)
            composed.letters = []
        await self._producer.send(composed.runs)
        self._count(composed)

    # --- what the steps are made of ----------------------------------------------------------------------------------

    def _score(self, reading: Reading) -> None:
        answers = reading.scorer.score(reading.texts, reading.names, reading.prepared)
        scored = []
        for item, answer in zip(reading.to_score, answers, strict=True):
            item.outcome = answer
            if isinstance(item.content, Document) and isinstance(answer, Classification):
                scored.append((item.content, answer))
        for observer in self._observers:
            observer.observe(scored)

    async def _quiet(self) -> Mapping[TopicPartition, int]:
        """Sources that brought nothing for a while although they were read to their end, which is given: so Kafka says
        now, and nothing that was fetched of them still waits for the model."""
        progress, now = self._progress, _monotonic()
        quiet = progress.quiet(self._policy.idle_after, now)
        if not quiet or now < self._next_idle_check:
            return {}
        ends = await self._offsets.ends(quiet)
        positions = await self._positions()
        self._next_idle_check = now + self._policy.idle_check
        return {
            place: ends[place]
            for place, position in positions.items()
            if place in quiet and position.next_fetch >= ends[place] and progress.is_through(place, position.fetched)
        }

    async def _identify(
        self, places: frozenset[TopicPartition] | set[TopicPartition]
    ) -> dict[TopicPartition, Partition]:
        ids = {
            topic: await asyncio.to_thread(self._topic_ids.topic_id, topic)
            for topic in {place.topic for place in places}
        }
        return {
            place: Partition(topic=place.topic, topic_id=ids[place.topic], number=place.partition) for place in places
        }

    def _count(self, composed: Composed) -> None:
        count = self._telemetry.count
        if composed.scored:
            count("documents_total", composed.scored, stage=STAGE, outcome="scored")
        if composed.unscored:
            count("documents_total", composed.unscored, stage=STAGE, outcome="unscored")
        for mark in composed.marks:
            count("marks_total", status=mark.status.value)

    async def _in_thread(self, thread: ThreadPoolExecutor, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, function, *arguments)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def build_classify(
    *,
    connection: KafkaConnection,
    topics: ClassifyTopics,
    group: str,
    model: LiveModel,
    topic_ids: TopicIds,
    policy: ClassifyPolicy,
    telemetry: Telemetry,
    follower: ModelFollower | None = None,
    observers: Sequence[ScoreObserver] = (),
) -> Intake:
    """The classify stage, ready for stream.runner.run."""
    stage = ClassifyStage(
        connection=connection,
        group=group,
        topics=topics,
        model=model,
        policy=policy,
        topic_ids=topic_ids,
        telemetry=telemetry,
        follower=follower,
        observers=observers,
        positions=lambda: intake.positions(),
    )
    intake = Intake(
        connection=connection,
        group=group,
        topics=tuple(topics.sources),
        stage=stage,
        policy=policy.intake,
        telemetry=telemetry,
    )
    return intake

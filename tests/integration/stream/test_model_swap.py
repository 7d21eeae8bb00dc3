"""Another model takes over while a stream runs, on a real Kafka and a real Postgres: nothing stops, nothing is lost,
nothing is mixed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import pytest
from support.classifiers import HashClassifier, HashedTexts
from support.kafka_world import QUICK, ClassifyWorld, Sent, check_marks, document, eventually
from support.postgres_databases import rows
from support.postgres_fixtures import database, module_database
from support.telemetry import RecordingTelemetry

from domain.classification import Classification, ModelRef
from domain.ports import Names, Prepared
from domain.registry import RegisteredModel
from models.shadow import Shadow, ShadowPolicy
from store.postgres.connection import Postgres
from store.postgres.registry import PostgresModelRegistry
from stream.intake import Intake
from stream.live_model import LiveModel, RunningModel
from stream.model_follower import FollowPolicy, ModelFollower

__all__ = ["database", "module_database"]

pytestmark = pytest.mark.servers

SHARES = {"ships": "#negative", "a": "#neutral", "b": "#positive"}
"""What each version makes of every text."""


@dataclass(frozen=True)
class Own(HashedTexts):
    """Texts made ready by one version."""

    version: str = ""


class Versioned(HashClassifier):
    """Takes its time, has scores of its own, and refuses what another version made ready."""

    def __init__(self, version: str) -> None:
        super().__init__(name="tone", version=version)
        self.refused = 0

    def prepare(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> Own:
        marked = [f"{SHARES[self.model.version]} {text}" for text in texts]
        ready = super().prepare(marked, names)
        return Own(ready.texts, ready.names, self.model.version)

    def infer(self, prepared: Prepared) -> list[Classification]:
        assert isinstance(prepared, Own)
        if prepared.version != self.model.version:
            self.refused += 1
            raise ValueError("made ready by another model")
        time.sleep(0.03)  # longer than it takes to send as many: the next batches are always read already
        return super().infer(prepared)


@dataclass
class SwapWorld:
    """A worker that follows a registry, and a sender who never pauses."""

    kafka: ClassifyWorld
    registry: PostgresModelRegistry
    telemetry: RecordingTelemetry = field(default_factory=RecordingTelemetry)
    sent: int = 0
    loaded: list[Versioned] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.live = LiveModel(self.load(None))
        self.follower = ModelFollower(
            self.live,
            registry=self.registry,
            load=self.load,
            following=None,
            worker="host:1",
            policy=FollowPolicy(every=0.05, retry_first=0.2, retry_most=0.2),
            telemetry=self.telemetry,
        )

    def load(self, model: RegisteredModel | None) -> RunningModel:
        """Takes long enough for several batches to go by."""
        time.sleep(0.3)
        version = model.location if model else "ships"
        if version not in SHARES:
            raise OSError(f"{version}: no such folder")
        self.loaded.append(Versioned(version))
        return RunningModel(classifier=self.loaded[-1], config_hash=f"config of {version}")

    @property
    def running(self) -> str:
        return self.live.get().classifier.model.version

    @asynccontextmanager
    async def streaming(self, **options: Any) -> AsyncIterator[Intake]:
        """A worker, and documents on every source partition until the end of the block; then all are worked off.
        `options` are build_classify's."""
        policy = replace(QUICK, intake=replace(QUICK.intake, max_batch=16))
        async with self.kafka.working(
            model=self.live, follower=self.follower, telemetry=self.telemetry, policy=policy, **options
        ) as intake:
            ended = asyncio.Event()
            sending = asyncio.create_task(self._send(ended))
            try:
                yield intake
            finally:
                ended.set()
                await sending
            await eventually(lambda: self.kafka.has_scored(self.sent))

    async def _send(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            places = self.kafka.sources
            batch = [
                Sent(topic=place.topic, partition=place.partition, value=document(f"doc-{self.sent + number}"))
                for number, place in enumerate(places * 5)
            ]
            await self.kafka.produce(batch)
            self.sent += len(batch)
            await asyncio.sleep(0.02)

    def promote(self, version: str) -> None:
        ref = ModelRef(name="tone", version=version)
        promoted = self.registry.promoted()
        self.registry.register(ref, location=version, figures={})
        self.registry.promote(ref, replaces=promoted[0].ref if promoted else None, by="ann", reason="")

    async def until(self, version: str) -> None:
        """Wait until a version runs, and has scored for a while."""

        async def runs() -> bool:
            return self.running == version

        await eventually(runs)
        await asyncio.sleep(0.5)

    async def check(self, *timeline: str) -> None:
        """Every document once, each by one version alone, and the versions took turns in this order on every source
        partition."""
        parts = list((await self.kafka.scored()).values())
        ids = [record.scored.document.id for part in parts for _, record in part.documents]
        assert sorted(ids) == sorted(f"doc-{number}" for number in range(self.sent))
        assert not await self.kafka.dead_letters()
        assert not sum(model.refused for model in self.loaded), "one model made ready what another was to score"
        check_marks(parts)
        by_source: dict[object, list[tuple[int, str]]] = {}
        for part in parts:
            offsets: dict[object, list[int]] = {}
            for _, record in part.documents:
                answer = record.scored.classification
                assert answer is not None
                version = answer.model.version
                assert record.scored.config_hash == f"config of {version}"
                assert f"#{answer.sentiment.label.value}" == SHARES[version]
                offsets.setdefault(record.origin.partition, []).append(record.origin.offset)
                by_source.setdefault(record.origin.partition, []).append((record.origin.offset, version))
            assert all(found == sorted(found) for found in offsets.values()), "documents of a source stay in order"
        assert len(by_source) == len(self.kafka.sources)
        for versions in by_source.values():
            assert [version for version, _ in groupby(version for _, version in sorted(versions))] == list(timeline)


@pytest.fixture
def world(kafka_bootstrap: str, database: str) -> Iterator[SwapWorld]:
    postgres = Postgres(database, application_name="test", pool_size=2)
    yield SwapWorld(ClassifyWorld.make(kafka_bootstrap), PostgresModelRegistry(postgres))
    postgres.close()


async def test_models_are_promoted_and_rolled_back_while_a_stream_runs(world: SwapWorld) -> None:
    async with world.streaming() as intake:
        await world.until("ships")
        world.promote("a")
        await world.until("a")
        world.promote("b")
        await world.until("b")
        world.registry.rollback(replaces=ModelRef(name="tone", version="b"), by="ann", reason="")
        await world.until("a")
        world.registry.rollback(replaces=ModelRef(name="tone", version="a"), by="ann", reason="")
        await world.until("ships")
        assert not intake.health.failed
    await world.check("ships", "a", "b", "a", "ships")
    assert world.telemetry.counts["model_swaps_total", "swapped"] == 4
    running = {key[2]: value for key, value in world.telemetry.gauges.items() if key[0] == "model_info"}
    assert running == {"ships": 1, "a": 0, "b": 0}
    assert {(up.model.version, up.error) for up in world.registry.take_ups()} == {
        ("a", None), ("b", None), ("ships", None)
    }  # fmt: skip


async def test_a_broken_model_that_was_put_in_force_by_hand_leaves_the_old_one_at_work(
    world: SwapWorld,
    database: str,
) -> None:
    async with world.streaming() as intake:
        world.promote("a")
        await world.until("a")
        rows(
            database,
            "INSERT INTO registered_model VALUES ('tone', 'broken', '/nowhere', '{}');"
            "INSERT INTO promotion (name, version, by, reason) VALUES ('tone', 'broken', 'someone', 'by hand')",
        )

        async def is_reported() -> object:
            return [up for up in world.registry.take_ups() if up.error is not None]

        (report,) = await eventually(is_reported)
        await world.until("a")
        assert not intake.health.failed
        world.promote("b")
        await world.until("b")
    assert (report.model.version, report.worker) == ("broken", "host:1")
    assert report.error == "OSError: /nowhere: no such folder"
    assert world.telemetry.counts["model_swaps_total", "failed"] >= 2, "it is tried again"
    await world.check("ships", "a", "b")


async def test_a_registry_that_goes_away_stops_nothing(world: SwapWorld, database: str) -> None:
    async with world.streaming():
        world.promote("a")
        await world.until("a")
        rows(database, "ALTER TABLE promotion RENAME TO hidden")
        try:
            before = world.sent
            await asyncio.sleep(0.5)
            await eventually(lambda: world.kafka.has_scored(before))
            assert world.running == "a"
        finally:
            rows(database, "ALTER TABLE hidden RENAME TO promotion")
        world.promote("b")
        await world.until("b")
    await world.check("ships", "a", "b")


async def test_a_challenger_that_hangs_holds_nothing_up(world: SwapWorld) -> None:
    freed = threading.Event()

    class Hung(HashClassifier):
        def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
            freed.wait(60)
            return super().classify(texts, names)

    policy = ShadowPolicy(share=0.5, max_queued=20)
    shadow = Shadow(lambda: Hung(name="challenger"), policy=policy, telemetry=world.telemetry)
    async with world.streaming(observers=[shadow]):
        await eventually(lambda: world.kafka.has_scored(200))
        assert world.telemetry.counts["shadow_documents_total", "skipped"] > 20
        assert ("shadow_documents_total", "compared") not in world.telemetry.counts
        freed.set()

        async def is_compared() -> bool:
            return world.telemetry.counts.get(("shadow_documents_total", "compared"), 0) > 20

        await eventually(is_compared)
    await world.check("ships")
    assert 0 <= world.telemetry.gauges["shadow_agreement", "sentiment"] < 1

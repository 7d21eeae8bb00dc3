"""What domain.ports.ModelRegistry promises, on every implementation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.fake_registry import FakeModelRegistry

from domain.classification import ModelRef
from domain.errors import Conflict, InvalidInput
from domain.ports import ModelRegistry
from store.postgres.connection import Postgres
from store.postgres.registry import PostgresModelRegistry

A, B, C = (ModelRef(name="tone", version=version) for version in "abc")


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.servers)])
def registry(request: pytest.FixtureRequest) -> Iterator[ModelRegistry]:
    if request.param == "memory":
        yield FakeModelRegistry()
        return
    postgres = Postgres(request.getfixturevalue("database"), application_name="test", pool_size=8)
    yield PostgresModelRegistry(postgres)
    postgres.close()


@pytest.fixture
def stocked(registry: ModelRegistry) -> ModelRegistry:
    for ref in (A, B, C):
        registry.register(ref, location=f"/models/{ref.version}", figures={})
    return registry


def in_force(registry: ModelRegistry) -> list[ModelRef]:
    return [model.ref for model in registry.promoted()]


def promote(registry: ModelRegistry, *refs: ModelRef) -> None:
    for ref in refs:
        now = in_force(registry)
        registry.promote(ref, replaces=now[0] if now else None, by="ann", reason="better")


def test_an_empty_registry_has_nothing_in_force(registry: ModelRegistry) -> None:
    assert list(registry.models()) == []
    assert list(registry.promoted()) == []
    assert list(registry.promotions()) == []
    assert list(registry.take_ups()) == []


def test_a_model_is_known_with_its_place_and_figures_the_newest_first(registry: ModelRegistry) -> None:
    figures = {"headlines": {"task": "sentiment", "accuracy": 0.875, "rows": 643}}
    first = registry.register(A, location="/models/a", figures=figures)
    second = registry.register(B, location="shipped-one", figures={})

    assert (first.ref, first.location, first.figures) == (A, "/models/a", figures)
    assert list(registry.models()) == [second, first]


def test_registering_again_replaces_place_and_figures(registry: ModelRegistry) -> None:
    first = registry.register(A, location="/models/a", figures={})
    again = registry.register(A, location="/elsewhere/a", figures={"headlines": {"rows": 1}})

    assert again.registered_at == first.registered_at
    assert list(registry.models()) == [again]
    assert again.location == "/elsewhere/a"


def test_the_newest_promotion_is_in_force(stocked: ModelRegistry) -> None:
    first = stocked.promote(A, replaces=None, by="ann", reason="the first")
    second = stocked.promote(B, replaces=A, by="bob", reason="more topics", forced=True)

    assert in_force(stocked) == [B, A]
    assert [model.location for model in stocked.promoted()] == ["/models/b", "/models/a"]
    assert list(stocked.promotions()) == [second, first]
    assert (second.model, second.replaced, second.undoes, second.forced) == (B, A, None, True)
    assert (second.by, second.reason) == ("bob", "more topics")
    assert (first.replaced, first.forced) == (None, False)
    assert first.number < second.number


def test_a_rollback_leads_to_what_was_before_and_the_next_one_further(stocked: ModelRegistry) -> None:
    promote(stocked, A, B)
    newest = stocked.promotions()[0]

    back = stocked.rollback(replaces=B, by="ann", reason="too many alerts")
    assert (back.model, back.replaced, back.undoes) == (A, B, newest.number)
    assert in_force(stocked) == [A]

    promote(stocked, C)
    assert in_force(stocked) == [C, A]
    stocked.rollback(replaces=C, by="ann", reason="")
    further = stocked.rollback(replaces=A, by="ann", reason="")
    assert further.model is None
    assert in_force(stocked) == []
    assert len(stocked.promotions()) == 6, "nothing is ever taken away"
    assert len(stocked.promotions(limit=2)) == 2


def test_where_nothing_is_promoted_nothing_is_rolled_back(stocked: ModelRegistry) -> None:
    with pytest.raises(InvalidInput) as refused:
        stocked.rollback(replaces=None, by="ann", reason="")
    assert refused.value.reason == "nothing_promoted"


def test_an_unknown_model_is_not_promoted(registry: ModelRegistry) -> None:
    with pytest.raises(InvalidInput) as refused:
        registry.promote(A, replaces=None, by="ann", reason="")
    assert refused.value.reason == "model_unknown"
    assert list(registry.promotions()) == []


def test_whoever_comes_second_is_told_that_another_model_is_in_force(stocked: ModelRegistry) -> None:
    promote(stocked, A)
    with pytest.raises(Conflict):
        stocked.promote(B, replaces=None, by="bob", reason="")
    with pytest.raises(Conflict):
        stocked.rollback(replaces=B, by="bob", reason="")
    assert in_force(stocked) == [A]


def test_of_many_who_promote_at_once_one_gets_its_way(stocked: ModelRegistry) -> None:
    def try_it(ref: ModelRef) -> bool:
        try:
            stocked.promote(ref, replaces=None, by=ref.version, reason="")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(try_it, [A, B, C] * 2)) == 1
    assert len(stocked.promotions()) == 1


def test_a_model_may_be_promoted_again(stocked: ModelRegistry) -> None:
    promote(stocked, A, B, A)
    assert in_force(stocked) == [A, B, A]


def test_workers_say_what_came_of_it_the_newest_first(registry: ModelRegistry) -> None:
    registry.report(A, worker="host:1", error=None)
    registry.report(B, worker="host:1", error="the folder is missing")

    newest, oldest = registry.take_ups()
    assert (newest.model, newest.worker, newest.error) == (B, "host:1", "the folder is missing")
    assert (oldest.model, oldest.error) == (A, None)
    assert oldest.at <= newest.at
    assert list(registry.take_ups(limit=1)) == [newest]

"""A worker says what it does, or what it waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from domain.errors import GroundswellError
from service.stage_readiness import StageReadiness
from stream.intake import Health, Phase

READING = Health(phase=Phase.READING, partitions=4, in_flight=1, blocked_by=None, failed=False)


class StandingIntake:
    def __init__(self, health: Health) -> None:
        self.health = health


def readiness_of(health: Health) -> StageReadiness:
    readiness = StageReadiness()
    readiness.begin(cast("Any", StandingIntake(health)))
    return readiness


def test_a_stage_that_reads_is_ready() -> None:
    assert readiness_of(READING).probe() == "reads 4 partitions"


def test_a_stage_whose_partitions_others_have_is_ready() -> None:
    assert "others have them all" in readiness_of(replace(READING, partitions=0)).probe()


def test_a_stage_whose_model_still_loads_is_not_ready() -> None:
    with pytest.raises(GroundswellError, match="it is starting"):
        StageReadiness().probe()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"phase": Phase.JOINING}, "waits for its partitions"),
        ({"phase": Phase.RELEASING}, "gives its partitions up"),
        ({"blocked_by": "Postgres at db:5432 can't be reached"}, "it waits: Postgres at db:5432 can't be reached"),
        ({"phase": Phase.JOINING, "blocked_by": "Redis is down"}, "it waits: Redis is down"),
        ({"failed": True, "blocked_by": "Redis is down"}, "can't go on"),
    ],
)
def test_a_stage_that_does_not_work_says_why(change: dict[str, Any], said: str) -> None:
    with pytest.raises(GroundswellError, match=said):
        readiness_of(replace(READING, **change)).probe()

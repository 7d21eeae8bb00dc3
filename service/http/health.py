"""Is the process alive, is everything that it depends on there, and what does it measure."""

from __future__ import annotations

import asyncio
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from domain.errors import GroundswellError
from service.http.parts import Check, Probes
from service.metrics import CONTENT_TYPE

router = APIRouter()


class Alive(BaseModel):
    """The process runs and its event loop turns."""

    status: str = "alive"


class DependencyView(BaseModel):
    """One dependency."""

    name: str = Field(examples=["postgres"])
    ready: bool
    detail: str = Field(examples=["schema 0001"])


class Ready(BaseModel):
    """Whether every dependency can be used."""

    ready: bool
    dependencies: list[DependencyView]


class Prober:
    """Asks the dependencies of a process, side by side, in threads.

    A probe keeps its thread for as long as it takes, however short a caller's patience is. So each runs once at a time,
    whoever waits for it: one that hangs can't take the threads that the others need.
    """

    def __init__(self, probes: Probes) -> None:
        self.probes = probes
        self._under_way: dict[str, asyncio.Task[DependencyView]] = {}
        self._answers: dict[str, DependencyView] = {}

    async def ask_all(self) -> list[DependencyView]:
        """What each dependency says, or that it doesn't in time, and what it said before if that tells why."""
        return list(await asyncio.gather(*(self._ask(check) for check in self.probes.checks)))

    async def _ask(self, check: Check) -> DependencyView:
        asked = self._under_way.get(check.name)
        if asked is None or asked.done():
            asked = self._under_way[check.name] = asyncio.create_task(self._probe(check))
        try:
            async with asyncio.timeout(self.probes.timeout):
                return await asyncio.shield(asked)
        except TimeoutError:
            before = self._answers.get(check.name)
            why = f"; before, it was: {before.detail}" if before is not None and not before.ready else ""
            detail = f"no answer within {self.probes.timeout:g} s{why}"
            return DependencyView(name=check.name, ready=False, detail=detail)

    async def _probe(self, check: Check) -> DependencyView:
        try:
            answer = DependencyView(name=check.name, ready=True, detail=await asyncio.to_thread(check.probe))
        except GroundswellError as error:
            answer = DependencyView(name=check.name, ready=False, detail=str(error))
        self._answers[check.name] = answer
        return answer


def _prober_of(request: Request) -> Prober:
    return cast("Prober", request.app.state.prober)


GivenProber = Annotated[Prober, Depends(_prober_of)]
"""How a route asks for it."""


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="Alive")
async def livez() -> Alive:
    """Always 200 while the process can answer at all: restart it when it does not."""
    return Alive()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Ready", responses={503: {"model": Ready, "description": "Something is not."}})
async def readyz(prober: GivenProber) -> JSONResponse:
    """Each dependency, asked just now: 200 when all are ready, else 503."""
    dependencies = await prober.ask_all()
    ready = all(dependency.ready for dependency in dependencies)
    content = Ready(ready=ready, dependencies=dependencies)
    return JSONResponse(content.model_dump(mode="json"), status_code=200 if ready else 503)


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", summary="Metrics", response_class=Response)
def metrics(prober: GivenProber) -> Response:
    """Prometheus's text format."""
    return Response(prober.probes.render_metrics(), media_type=CONTENT_TYPE)

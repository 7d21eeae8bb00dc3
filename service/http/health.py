"""Is the process alive, is everything that it depends on there, and what does it measure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from domain.errors import GroundswellError
from service.http.parts import Check, GivenProbes
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


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="Alive")
async def livez() -> Alive:
    """Always 200 while the process can answer at all: restart it when it does not."""
    return Alive()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Ready", responses={503: {"model": Ready, "description": "Something is not."}})
async def readyz(probes: GivenProbes) -> JSONResponse:
    """Each dependency, asked just now: 200 when all are ready, else 503."""
    dependencies = await probe_all(probes.checks, probes.timeout)
    ready = all(dependency.ready for dependency in dependencies)
    content = Ready(ready=ready, dependencies=dependencies)
    return JSONResponse(content.model_dump(mode="json"), status_code=200 if ready else 503)


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", summary="Metrics", response_class=Response)
def metrics(probes: GivenProbes) -> Response:
    """Prometheus's text format."""
    return Response(probes.render_metrics(), media_type=CONTENT_TYPE)


async def probe_all(checks: Sequence[Check], timeout: float) -> list[DependencyView]:  # noqa: ASYNC109
    """Ask every dependency, side by side, in threads."""
    return list(await asyncio.gather(*(_probe(check, timeout) for check in checks)))


async def _probe(check: Check, seconds: float) -> DependencyView:
    try:
        async with asyncio.timeout(seconds):
            detail = await asyncio.to_thread(check.probe)
    except TimeoutError:
        return DependencyView(name=check.name, ready=False, detail=f"no answer within {seconds:g} s")
    except GroundswellError as error:
        return DependencyView(name=check.name, ready=False, detail=str(error))
    return DependencyView(name=check.name, ready=True, detail=detail)

"""Puts the routes together."""

from __future__ import annotations

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline

from service.http import correcting, errors, health, posting, reading
from service.http.limit import Limited
from service.http.measure import Measured
from service.http.origin import refuse_foreign_pages
from service.http.parts import Parts, Probes

_DESCRIPTION = """\
What is said about topics and companies, how negative it is, and the alerts that were raised.

A **subject** is a topic (`topic:Energy | Oil`) or an entity (`entity:AAPL`). Times are event times (`published_at`), in
RFC 3339; spans are half-open, `[from, to)`. What is unknown is `null`, never 0. Errors are RFC 9457 problem documents
that name the parameter or field.
"""


def create_app(parts: Parts) -> FastAPI:
    """The API over these parts. It keeps no state of its own and holds no secret."""
    # Its page comes with its scripts: nobody else is asked for them, and told who reads it.
    app = FastAPIOffline(
        title="Groundswell",
        version="1",
        summary="Streaming sentiment of financial news and comments.",
        description=_DESCRIPTION,
        redoc_url=None,
        swagger_ui_parameters={"validatorUrl": None},
        dependencies=[Depends(refuse_foreign_pages)],
    )
    app.state.parts = parts
    app.state.prober = health.Prober(parts.probes)
    app.add_middleware(Limited, most=parts.policy.max_requests)
    app.add_middleware(Measured, telemetry=parts.telemetry)
    errors.install(app)
    app.include_router(health.router, tags=["operations"])
    app.include_router(posting.router, tags=["documents"])
    app.include_router(correcting.router, tags=["corrections"])
    app.include_router(reading.router, tags=["reading"])
    return app


def create_probe_app(probes: Probes) -> FastAPI:
    """/livez, /readyz and /metrics alone, for processes that have no other API."""
    app = FastAPI(title="Groundswell", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.prober = health.Prober(probes)
    errors.install(app)
    app.include_router(health.router)
    return app

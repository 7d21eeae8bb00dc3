"""Errors as RFC 9457 problem documents: what is wrong, with which parameter or field, and what is allowed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from domain.errors import GroundswellError, InvalidInput, PermanentError, TemporaryError
from stream.fields import BAD_KIND
from stream.messages import Reason
from stream.publish import Refusal, Refused

_log = logging.getLogger(__name__)

_FIELDS = {
    BAD_KIND: "kind",
    Reason.NO_TEXT: "text",
    Reason.BAD_DATE: "published_at",
    Reason.DATE_AHEAD: "published_at",
    Reason.BAD_LANG: "lang",
    Reason.BAD_SYMBOL: "symbols",
    Reason.TOO_MANY_SYMBOLS: "symbols",
}
"""The field that a reason is about; the messages of the other reasons name it."""


class FieldError(BaseModel):
    """One thing that is wrong."""

    parameter: str = Field(description="The query or path parameter, or the field of the item.", examples=["step"])
    message: str = Field(description="What is wrong, and what is allowed.")
    reason: str | None = Field(default=None, description="A stable name, for items of a body.", examples=["no_text"])
    index: int | None = Field(default=None, description="Which of the items sent, from 0.")


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str
    errors: list[FieldError] = []


PROBLEMS: dict[int | str, dict[str, Any]] = {
    422: {"model": Problem, "description": "A parameter or field is wrong; `errors` names each."},
    503: {"model": Problem, "description": "A server behind the API can't answer now; try again after `Retry-After`."},
}
"""What every route may answer, for OpenAPI."""


class TooLarge(InvalidInput):
    """More than one request may carry."""

    def __init__(self, message: str) -> None:
        super().__init__("too_large", message)


class Rejected(InvalidInput):
    """Items of a body are not valid, and none was taken."""

    def __init__(self, message: str, errors: Sequence[FieldError]) -> None:
        super().__init__("rejected", message)
        self.errors = tuple(errors)


def install(app: FastAPI) -> None:
    """Answer every error of ours, of FastAPI and of Starlette as a problem document."""
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(GroundswellError, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def problem(
    status: int, detail: str, errors: Sequence[FieldError] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    """A problem document."""
    content = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors))
    return JSONResponse(
        content.model_dump(mode="json", exclude_none=True),
        status_code=status,
        media_type="application/problem+json",
        headers=headers,
    )


async def _parameters(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 — that is what it was installed for
    errors = [_field_error(item) for item in error.errors()]
    return problem(422, "; ".join(f"{item.parameter} {item.message}" for item in errors), errors)


def _field_error(item: dict[str, Any]) -> FieldError:
    # Where it was found (query, path), the name, and for one of several values its number.
    name = [part for part in item["loc"] if isinstance(part, str)][-1]
    if item["type"] == "extra_forbidden":
        return FieldError(parameter=name, message="is not a parameter of this address")
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return FieldError(parameter=name, message=message)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    match error:
        case Refused():
            return problem(422, str(error), [_refusal(refusal) for refusal in error.refusals])
        case Rejected():
            return problem(422, str(error), error.errors)
        case TooLarge():
            return problem(413, str(error))
        case InvalidInput():
            return problem(422, str(error))
        case TemporaryError():
            seconds = max(1, round(error.delay)) if error.delay is not None else 1
            return problem(503, str(error), headers={"Retry-After": str(seconds)})
        case PermanentError():
            _log.error("%s %s: %s", request.method, request.url.path, error)
            return problem(500, str(error))
    return await _unexpected(request, error)


def _refusal(refusal: Refusal) -> FieldError:
    field = _FIELDS.get(refusal.reason)
    return FieldError(
        parameter=f"[{refusal.index}]" + (f".{field}" if field else ""),
        index=refusal.index,
        reason=refusal.reason,
        message=refusal.message,
    )


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 — that is what it was installed for
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"there is nothing at {request.url.path}; /docs lists what there is"
    return problem(error.status_code, detail, headers=dict(error.headers) if error.headers else None)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "an error of ours; the log of the server has the trace")

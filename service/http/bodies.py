"""Bodies of requests: bounded, JSON, one item or a list of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, NoReturn

from fastapi import Depends, Request

from domain.errors import InvalidInput
from service.http.errors import TooLarge
from service.http.parts import GivenParts


async def _bounded_body(request: Request, parts: GivenParts) -> bytes:
    limit = parts.policy.max_body_bytes
    refusal = TooLarge(f"the body may hold at most {limit} bytes (http.max_body_bytes)")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise refusal
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise refusal
    return bytes(body)


BoundedBody = Annotated[bytes, Depends(_bounded_body)]
"""How a route asks for its body."""


def items_of(
    body: bytes,
    *,
    noun: str,
    limit: int,
    parse_float: Callable[[str], object] | None = None,
    parse_int: Callable[[str], object] | None = None,
) -> list[object]:
    """The items of a body, which is one `noun` or a list of them. The parsers are json.loads's.

    Raises InvalidInput when it is not JSON or holds none, TooLarge when it holds more than the limit.
    """
    try:
        content = json.loads(body, parse_constant=_refuse_constant, parse_float=parse_float, parse_int=parse_int)
    except ValueError as error:
        raise InvalidInput("not_json", f"the body must be JSON in UTF-8: {error}") from error
    except RecursionError as error:
        raise InvalidInput("not_json", "the body is nested too deeply") from error
    items = content if isinstance(content, list) else [content]
    if not items:
        raise InvalidInput(f"no_{noun}s", f"the body must hold a {noun}, or a list of at least one")
    if len(items) > limit:
        raise TooLarge(f"at most {limit} {noun}s at once (http.max_documents), got {len(items)}")
    return items


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")

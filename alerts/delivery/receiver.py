"""Who is told: where a receiver listens, and the secret that it verifies signatures with."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import httpx

SECRET_PREFIX = "whsec_"  # noqa: S105 the prefix that Standard Webhooks gives symmetric secrets
SECRET_BYTES = range(24, 65)
"""How many bytes a secret has (Standard Webhooks 1.0, "Signature scheme": 192 to 512 bits)."""

_RESERVED_HEADERS = frozenset({"host", "content-type", "content-length", "transfer-encoding", "connection"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """A receiver of webhooks. Raises ValueError naming the field that is wrong, never showing a secret.

    The address, the secret and the extra headers may all carry credentials: none of them is in the repr.
    """

    name: str
    url: str = field(repr=False)
    """http or https. Redirects are not followed, so what is written here is where it goes."""
    secret: str = field(repr=False)
    """`whsec_` and the base64 of 24 to 64 random bytes."""
    timeout: timedelta = timedelta(seconds=15)
    """For a whole attempt, from resolving the name to the answer (Standard Webhooks recommends 15 to 30 s)."""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """Sent with every request, for example `Authorization`."""
    ca_file: Path | None = None
    """Certificates (PEM) to trust instead of the usual authorities."""

    def __post_init__(self) -> None:
        self._require(bool(self.name.strip()), "name", "must not be empty")
        self._require(_is_web_address(self.url), "url", "must be http(s)://host… without user, password or fragment")
        self._require(_is_secret(self.secret), "secret", "must be whsec_ and the base64 of 24 to 64 bytes")
        self._require(
            timedelta(seconds=1) <= self.timeout <= timedelta(minutes=2), "timeout", "must be from 1 s to 2 minutes"
        )
        for name, value in self.headers.items():
            self._require(
                _TOKEN.fullmatch(name) is not None
                and name.lower() not in _RESERVED_HEADERS
                and not name.lower().startswith("webhook-"),
                "headers",
                f"must not set {name!r}",
            )
            self._require(_VALUE.fullmatch(value) is not None, "headers", f"{name} must be printable ASCII")

    def _require(self, fine: bool, field_name: str, must: str) -> None:
        if not fine:
            raise ValueError(f"receiver {self.name!r}: {field_name} {must}")


def _is_web_address(text: str) -> bool:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return (
        url.scheme in ("http", "https")
        and bool(url.host)
        and (url.port is None or 0 < url.port < 65536)
        and not url.userinfo
        and not url.fragment
        and text.isprintable()
        and " " not in text
    )


def _is_secret(secret: str) -> bool:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return secret.startswith(SECRET_PREFIX) and len(key) in SECRET_BYTES

"""How to reach Kafka: one policy, in the words of each of the client libraries that we use."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from domain.errors import PermanentError


class SecurityProtocol(StrEnum):
    """Whether the connection is encrypted (SSL), authenticated (SASL), or both."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SaslMechanism(StrEnum):
    """The SASL mechanisms that all of our client libraries speak."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


@dataclass(frozen=True, kw_only=True)
class KafkaConnection:
    """Where Kafka is and how to speak to it. Raises ValueError when the parts do not fit each other."""

    bootstrap_servers: str
    """`host:port`, or several, separated by commas."""
    security_protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    sasl_mechanism: SaslMechanism = SaslMechanism.PLAIN
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """PEM; None: the system's authorities."""
    certificate_file: Path | None = None
    """PEM, when the broker asks clients for a certificate."""
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    check_hostname: bool = True

    def __post_init__(self) -> None:
        if not self.servers:
            raise ValueError("bootstrap_servers must name at least one host:port")
        for server in self.servers:
            host, colon, port = server.rpartition(":")
            if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
                raise ValueError(f"bootstrap_servers must be host:port, separated by commas; got {server!r}")
        if self.uses_sasl and (self.username is None or self.password is None):
            raise ValueError(f"security_protocol {self.security_protocol} needs a username and a password")
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("a key_file needs its certificate_file")

    @property
    def servers(self) -> tuple[str, ...]:
        """Each `host:port`."""
        return tuple(server.strip() for server in self.bootstrap_servers.split(",") if server.strip())

    @property
    def uses_sasl(self) -> bool:
        """Whether it authenticates by user name and password."""
        return self.security_protocol in (SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL)

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL)

    @cached_property
    def ssl_context(self) -> ssl.SSLContext | None:
        """None when not encrypted. Raises PermanentError naming the file that can't be used."""
        if not self.uses_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise PermanentError(f"the Kafka ca_file {self.ca_file} can't be used: {error}") from error
        context.check_hostname = self.check_hostname
        if self.certificate_file is not None:
            try:
                context.load_cert_chain(self.certificate_file, self.key_file, self.key_password)
            except (OSError, ssl.SSLError) as error:
                raise PermanentError(
                    f"the Kafka certificate_file {self.certificate_file} or key_file {self.key_file} can't be used: "
                    f"{error}"
                ) from error
        return context

    def aiokafka(self) -> dict[str, Any]:
        """Keyword arguments of aiokafka's clients."""
        settings: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "security_protocol": self.security_protocol.value,
            "ssl_context": self.ssl_context,
        }
        if self.uses_sasl:
            settings |= {
                "sasl_mechanism": self.sasl_mechanism.value,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return settings

    def kafka_python(self) -> dict[str, Any]:
        """Keyword arguments of kafka-python's clients, which spell these the same way."""
        return self.aiokafka()

    def faust(self) -> dict[str, Any]:
        """Keyword arguments of faust.App."""
        import faust  # here, because it takes half a second and most commands do without it

        settings: dict[str, Any] = {"broker": [f"kafka://{server}" for server in self.servers]}
        if self.uses_sasl:
            settings["broker_credentials"] = faust.SASLCredentials(
                username=self.username,
                password=self.password,
                mechanism=self.sasl_mechanism.value,
                ssl_context=self.ssl_context,
            )
        elif self.uses_tls:
            settings["broker_credentials"] = faust.SSLCredentials(self.ssl_context)
        return settings

"""Asking Kafka about itself: kafka-python's admin client, opened when first needed, its errors in our words."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import aiokafka.errors
from aiokafka.conn import create_conn
from kafka import errors
from kafka.admin import KafkaAdminClient
from kafka.net.compat import KafkaNetClient

from domain.errors import GroundswellError, PermanentError, TemporaryError
from stream.kafka import KafkaConnection

T = TypeVar("T")

_IN_MEMORY_CLUSTER = "mockCluster"
"""How librdkafka's in-memory broker begins the cluster ids that it makes up."""
_IN_MEMORY_VERSION = (2, 0)
"""The in-memory broker answers the version handshake of newer protocols in a way that kafka-python can't read."""
_FIRST_TRY_MS = 2000
_IN_MEMORY_TRY_MS = 1000
_RECONNECT_MS = 1000
_DIAGNOSIS_TIMEOUT = 3.0


class KafkaAdmin:
    """kafka-python's admin client for one cluster. Blocking; threads take turns.

    Every call raises TemporaryError when the cluster can't be reached and PermanentError when a person must act; both
    say what to do.
    """

    def __init__(self, connection: KafkaConnection, *, timeout: float = 10.0) -> None:
        """`timeout`: seconds within which the cluster must be reached and must answer. Connects at the first call."""
        self.connection = connection
        self._timeout_ms = round(timeout * 1000)
        self._lock = threading.Lock()
        self._client: KafkaAdminClient | None = None
        self._speaks: dict[str, Any] | None = None
        """With which settings the cluster was reached before."""

    def __enter__(self) -> KafkaAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        with self._lock:
            self._drop()

    def run(self, ask: Callable[[KafkaAdminClient], T]) -> T:
        """What `ask` returns, given the client."""
        with self._lock:
            try:
                if self._client is None:
                    self._client = self._open()
                return ask(self._client)
            except errors.KafkaError as error:
                if not isinstance(error, errors.BrokerResponseError):
                    # The client keeps trying brokers that it once knew; a new one begins with those of the settings.
                    self._drop()
                raise translate(error, self.connection) from error

    def in_memory(self) -> bool:
        """Whether this is librdkafka's broker for demonstrations: it makes topics by itself, and they have no ids."""
        return self.run(_is_in_memory)

    def _open(self) -> KafkaAdminClient:
        if self._speaks is not None:
            return self._connect(bootstrap_timeout_ms=self._timeout_ms, **self._speaks)
        # A broker that is there answers at once, so the odd one gets its turn before the patience is spent.
        first = min(_FIRST_TRY_MS, self._timeout_ms)
        try:
            client = self._connect(bootstrap_timeout_ms=first)
        except errors.KafkaTimeoutError:
            in_memory = self._connect_in_memory()
            if in_memory is not None:
                self._speaks = {"api_version": _IN_MEMORY_VERSION}
                return in_memory
            client = self._connect(bootstrap_timeout_ms=max(self._timeout_ms - first, 1))
        self._speaks = {}
        return client

    def _connect_in_memory(self) -> KafkaAdminClient | None:
        try:
            client = self._connect(bootstrap_timeout_ms=_IN_MEMORY_TRY_MS, api_version=_IN_MEMORY_VERSION)
        except errors.KafkaError:
            return None
        if _is_in_memory(client):
            return client
        client.close()
        return None

    def _connect(self, **settings: Any) -> KafkaAdminClient:
        clients: list[KafkaNetClient] = []

        # The constructor of an admin client that can't connect leaves its client's thread behind.
        def remember(**config: Any) -> KafkaNetClient:
            clients.append(KafkaNetClient(**config))
            return clients[-1]

        settings = {
            "client_id": "groundswell-admin",
            "request_timeout_ms": self._timeout_ms,
            "reconnect_backoff_max_ms": _RECONNECT_MS,
            "kafka_client": remember,
            **self.connection.kafka_python(),
            **settings,
        }
        try:
            return KafkaAdminClient(**settings)
        except errors.KafkaError:
            for client in clients:
                client.close()
            raise

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _is_in_memory(client: KafkaAdminClient) -> bool:
    return str(client.describe_cluster()["cluster_id"]).startswith(_IN_MEMORY_CLUSTER)


def translate(error: Exception, connection: KafkaConnection) -> GroundswellError:
    """kafka-python's error in our words, with what to do about it. Blocking: it may connect, to find out more."""
    where = f"Kafka at {connection.bootstrap_servers}"
    match error:
        case errors.AuthorizationError():
            who = connection.username or "this client"
            return PermanentError(f"{where} does not allow this to {who} ({type(error).__name__}): grant it by an ACL")
        case errors.UnknownTopicOrPartitionError():
            return PermanentError(f"{where} does not have this topic: make it with `groundswell topics create`")
        case errors.UnsupportedVersionError():
            return PermanentError(f"{where} is too old for this: Kafka 2.8 or newer is needed")
        case errors.BrokerResponseError() if not isinstance(error, errors.RetriableError):
            return PermanentError(f"{where} refuses: {error.description.rstrip('.')} ({type(error).__name__})")
        case errors.KafkaConnectionError() | errors.KafkaTimeoutError() | errors.NodeNotReadyError():
            return asyncio.run(why_unreachable(connection))
        case _:
            return TemporaryError(f"{where} can't answer now ({type(error).__name__})")


def no_topic(connection: KafkaConnection, topic: str) -> TemporaryError:
    """That a topic is not there, or not yet."""
    return TemporaryError(
        f"Kafka at {connection.bootstrap_servers} has no topic {topic}: make it with `groundswell topics create`"
    )


async def why_unreachable(connection: KafkaConnection) -> GroundswellError:
    """Why no broker answers, as far as connecting to the first of them tells: TemporaryError, or PermanentError when
    it answers and refuses us. Takes a few seconds at most."""
    server = connection.servers[0]
    host, _, port = server.rpartition(":")
    where = f"Kafka at {connection.bootstrap_servers} can't be reached: "
    settings = connection.aiokafka()
    del settings["bootstrap_servers"]
    try:
        async with asyncio.timeout(_DIAGNOSIS_TIMEOUT):
            conn = await create_conn(host, int(port), **settings)
            conn.close()
    except aiokafka.errors.UnsupportedSaslMechanismError:
        return PermanentError(f"{where}{server} does not offer the SASL mechanism {connection.sasl_mechanism}")
    except (aiokafka.errors.AuthenticationFailedError, aiokafka.errors.SaslAuthenticationFailed):
        return PermanentError(f"{where}{server} refuses the user name {connection.username!r} or its password")
    except ssl.SSLCertVerificationError as error:
        return PermanentError(f"{where}the certificate of {server} is not trusted ({error.verify_message})")
    except ssl.SSLError:
        return PermanentError(f"{where}{server} does not speak TLS; check security_protocol")
    except socket.gaierror:
        return TemporaryError(f"{where}the host name {host} is unknown; check bootstrap_servers")
    except ConnectionRefusedError:
        return TemporaryError(f"{where}nothing listens at {server}; start Kafka, or check bootstrap_servers")
    except (TimeoutError, OSError, aiokafka.errors.KafkaError):
        protocol = connection.security_protocol
        return TemporaryError(
            f"{where}{server} does not answer as Kafka does over {protocol}; check the port and security_protocol"
        )
    return TemporaryError(
        f"{where}{server} answers, but not all brokers do over {connection.security_protocol}: they are starting, "
        "advertised.listeners names others, or security_protocol is another"
    )

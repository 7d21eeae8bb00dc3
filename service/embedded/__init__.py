"""The real servers, from wheels and jars: Apache Kafka, PostgreSQL, Valkey; started by us, gone with us."""

from service.embedded.cluster import Addresses, EmbeddedServers
from service.embedded.errors import DataFolderInUse, FolderUnusable, KafkaUnavailable, NotOurFolder, ServerFailed
from service.embedded.folder import reset
from service.embedded.kafka import KafkaAddress
from service.embedded.memory_kafka import MemoryKafka
from service.embedded.server import EmbeddedServer

__all__ = [
    "Addresses",
    "DataFolderInUse",
    "EmbeddedServer",
    "EmbeddedServers",
    "FolderUnusable",
    "KafkaAddress",
    "KafkaUnavailable",
    "MemoryKafka",
    "NotOurFolder",
    "ServerFailed",
    "reset",
]

"""What can go wrong with an embedded server; each text says what to do."""

from __future__ import annotations

from domain.errors import PermanentError


class KafkaUnavailable(PermanentError):
    """Kafka's jars are not in the cache and can't be had from the repository."""


class DataFolderInUse(PermanentError):
    """Another process runs the servers of this data folder."""


class NotOurFolder(PermanentError):
    """The folder holds something that is not ours; it is neither used nor removed."""


class FolderUnusable(PermanentError):
    """The data folder can't be made, or not written to."""


class ServerFailed(PermanentError):
    """A server ended, or was not ready in time; the text ends with the tail of its log."""

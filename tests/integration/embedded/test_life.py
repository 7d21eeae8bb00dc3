"""The servers live as long as the process that started them, and no longer; their data live on."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2
import psycopg2.extras
import pytest
from support.embedded_clients import kept, put

from service.embedded import DataFolderInUse, EmbeddedServers, NotOurFolder, ServerFailed, launch, reset

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[3]
NAMES = ("kafka", "postgres", "redis")

PROGRAM = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, sys.argv[1] + "/tests")
from service.embedded import EmbeddedServers
from support.embedded_clients import put
data_dir, names = Path(sys.argv[2]), sys.argv[3].split(",")
servers = EmbeddedServers(data_dir, **{name: name in names for name in ("kafka", "postgres", "redis")},
                          kafka_jars=Path(sys.argv[4]))
servers.start()
for name in names:
    put(name, servers.addresses, "kept")
print(json.dumps({name: server.pid for name, server in servers.servers.items()}), flush=True)
time.sleep(600)
"""


@dataclass(frozen=True)
class Parent:
    """A process that runs embedded servers, which hold one thing each."""

    process: subprocess.Popen[str]
    family: list[psutil.Process]
    """The servers and their children."""
    pids: dict[str, int]


def start_parent(data_dir: Path, names: tuple[str, ...] = NAMES, account: str = "-") -> Parent:
    from service.embedded.jars import default_cache

    program = [sys.executable, "-c", PROGRAM, str(ROOT), str(data_dir), ",".join(names), str(default_cache())]
    launcher = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(int(signal.SIGKILL)), account]
    process = subprocess.Popen([*launcher, *program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"it ended with status {process.wait()}"
    return Parent(process, psutil.Process(process.pid).children(recursive=True), json.loads(line))


def end(parent: Parent) -> None:
    parent.process.kill()
    parent.process.wait()
    if parent.process.stdout is not None:
        parent.process.stdout.close()
    for process in parent.family:
        if process.is_running():
            process.kill()


def wait_until_gone(family: list[psutil.Process], seconds: float) -> None:
    _, alive = psutil.wait_procs(family, timeout=seconds)
    assert [process.cmdline() for process in alive] == []


def family_of(servers: EmbeddedServers) -> list[psutil.Process]:
    """The servers and their children."""
    heads = [psutil.Process(server.pid) for server in servers.servers.values()]
    return heads + [child for head in heads for child in head.children(recursive=True)]


def children() -> set[int]:
    """Of this process: servers that other tests share may be among them."""
    return {process.pid for process in psutil.Process().children()}


def busy_query(dsn: str) -> psycopg2.extensions.connection:
    """Keeps one of PostgreSQL's processes computing, so that it looks at nothing else."""
    connection = psycopg2.connect(dsn, async_=True)
    psycopg2.extras.wait_select(connection)
    connection.cursor().execute("SELECT count(*) FROM generate_series(1, 1e12::bigint)")
    time.sleep(0.3)
    return connection


def test_a_kill_of_the_parent_ends_all_servers_and_loses_nothing(data_dir: Path) -> None:
    parent = start_parent(data_dir)
    ports = json.loads((data_dir / "ports.json").read_text())
    try:
        assert len(parent.family) > 3  # PostgreSQL has children of its own
        parent.process.kill()
        wait_until_gone(parent.family, seconds=5)
    finally:
        end(parent)
    said: list[str] = []
    with EmbeddedServers(data_dir, on_progress=said.append) as servers:
        assert json.loads((data_dir / "ports.json").read_text()) == ports
        assert {name: kept(name, servers.addresses) for name in NAMES} == {name: ["kept"] for name in NAMES}
    assert len(said) == 3  # nothing is downloaded or made a second time


@pytest.fixture
def folder_of_nobody() -> Iterator[tuple[Path, str]]:
    if os.geteuid() != 0:
        pytest.skip("we are an ordinary user: every other test shows it")
    nobody = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(prefix="groundswell-nobody-"))
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    yield folder, f"{nobody.pw_uid}:{nobody.pw_gid}"
    shutil.rmtree(folder)


def test_an_ordinary_user_has_the_same(folder_of_nobody: tuple[Path, str]) -> None:
    folder, account = folder_of_nobody
    parent = start_parent(folder / "data", account=account)
    try:
        assert {process.uids().real for process in parent.family} == {int(account.split(":")[0])}
        parent.process.kill()
        wait_until_gone(parent.family, seconds=5)
    finally:
        end(parent)
    again = start_parent(folder / "data", ("postgres", "redis"), account)
    end(again)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is another user for PostgreSQL")
def test_postgres_is_no_root_and_runs_in_a_folder_that_only_root_can_open(data_dir: Path) -> None:
    with EmbeddedServers(data_dir, kafka=False, redis=False) as servers:
        assert psutil.Process(servers.servers["postgres"].pid).uids().effective == pwd.getpwnam("nobody").pw_uid
        assert data_dir.stat().st_uid == 0


def test_a_busy_postgres_dies_with_the_parent_too(data_dir: Path) -> None:
    parent = start_parent(data_dir, ("postgres",))
    try:
        ports = json.loads((data_dir / "ports.json").read_text())
        password = (data_dir / "postgres" / "password").read_text()
        connection = busy_query(f"postgresql://groundswell:{password}@127.0.0.1:{ports['postgres']}/groundswell")
        family = psutil.Process(parent.process.pid).children(recursive=True)
        parent.process.kill()
        wait_until_gone(family, seconds=5)
        connection.close()
    finally:
        end(parent)


def test_an_orphan_that_hangs_is_replaced(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.embedded.server._PREDECESSOR_SECONDS", 0.5)
    parent = start_parent(data_dir, ("postgres",))
    try:
        # PostgreSQL is asked to end by a signal that it can't handle now.
        os.kill(parent.pids["postgres"], signal.SIGSTOP)
        parent.process.kill()
        with EmbeddedServers(data_dir, kafka=False, redis=False) as servers:
            assert kept("postgres", servers.addresses) == ["kept"]
    finally:
        end(parent)


def test_a_second_process_on_the_same_folder_is_refused(data_dir: Path) -> None:
    parent = start_parent(data_dir, ("redis",))
    try:
        with pytest.raises(DataFolderInUse, match=rf"in use by process {parent.process.pid}: "):
            EmbeddedServers(data_dir, kafka=False, postgres=False).start()
        with pytest.raises(DataFolderInUse):
            reset(data_dir)
    finally:
        end(parent)


def test_a_graceful_stop_leaves_no_process_and_the_folder_free(data_dir: Path) -> None:
    for attempt in range(2):
        with EmbeddedServers(data_dir, kafka=False) as servers:
            put("postgres", servers.addresses, str(attempt))
            put("redis", servers.addresses, str(attempt))
            family = family_of(servers)
        assert not any(process.is_running() for process in family)
    with EmbeddedServers(data_dir, kafka=False) as servers:
        assert kept("postgres", servers.addresses) == kept("redis", servers.addresses) == ["0", "1"]


def test_a_port_taken_by_others_is_replaced_by_another(data_dir: Path) -> None:
    with EmbeddedServers(data_dir, kafka=False, postgres=False) as servers:
        (first,) = servers.servers["redis"].ports
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first))
        other.listen()
        with EmbeddedServers(data_dir, kafka=False, postgres=False) as servers:
            (second,) = servers.servers["redis"].ports
    assert first != second
    with EmbeddedServers(data_dir, kafka=False, postgres=False) as servers:
        assert servers.servers["redis"].ports == (second,)


def test_a_folder_with_something_else_in_it_is_neither_used_nor_removed(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o755)
    (data_dir / "thesis.txt").write_text("mine")
    with pytest.raises(NotOurFolder, match="holds something else already"):
        EmbeddedServers(data_dir).start()
    with pytest.raises(NotOurFolder, match="not removed"):
        reset(data_dir)
    assert [entry.name for entry in data_dir.iterdir()] == ["thesis.txt"]
    assert data_dir.stat().st_mode & 0o777 == 0o755


def test_reset_removes_everything(data_dir: Path) -> None:
    with EmbeddedServers(data_dir, kafka=False, postgres=False):
        pass
    reset(data_dir)
    assert not data_dir.exists()
    reset(data_dir)


def test_a_server_that_does_not_start_is_an_error_with_the_end_of_its_log_and_the_others_stop(data_dir: Path) -> None:
    with EmbeddedServers(data_dir, kafka=False):
        pass
    (data_dir / "postgres" / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    before = children()
    with pytest.raises(ServerFailed, match=r'(?s)PostgreSQL 18 ended with status 1\. The end of .*"no_such_setting"'):
        EmbeddedServers(data_dir, kafka=False).start()
    assert children() == before


def test_an_interrupted_preparation_is_begun_again(data_dir: Path) -> None:
    with EmbeddedServers(data_dir, kafka=False, redis=False):
        pass
    cluster = data_dir / "postgres" / "data"
    cluster.rename(cluster.with_name("data.new"))
    with EmbeddedServers(data_dir, kafka=False, redis=False) as servers:
        put("postgres", servers.addresses, "works")


def frozen_orphan(parent: subprocess.Popen[str]) -> psutil.Process:
    """A PostgreSQL that initdb runs below `parent`, stopped in the middle of its work; the parent is killed."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for process in psutil.Process(parent.pid).children(recursive=True):
            try:
                if process.name() == "postgres" and {"--boot", "--single"} & set(process.cmdline()):
                    process.suspend()
                    # The signal takes its time on a busy machine; a process that was through by then is not the one.
                    while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                        time.sleep(0.001)
                    if process.status() == psutil.STATUS_STOPPED:
                        parent.kill()
                        parent.wait()
                        return process
            except psutil.NoSuchProcess:
                continue
    raise AssertionError("initdb was not seen at work")


def test_what_a_killed_preparation_left_running_is_waited_for(data_dir: Path) -> None:
    from service.embedded.jars import default_cache

    program = [sys.executable, "-c", PROGRAM, str(ROOT), str(data_dir), "postgres", str(default_cache())]
    orphan = frozen_orphan(subprocess.Popen(program, text=True))
    waking = threading.Timer(1.5, orphan.resume)
    waking.start()
    try:
        with EmbeddedServers(data_dir, kafka=False, redis=False) as servers:
            assert not orphan.is_running()
            put("postgres", servers.addresses, "works")
    finally:
        waking.join()


def test_what_a_killed_preparation_left_hanging_is_named(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.embedded.jars import default_cache

    monkeypatch.setattr("service.embedded.server._PREDECESSOR_SECONDS", 0.5)
    program = [sys.executable, "-c", PROGRAM, str(ROOT), str(data_dir), "postgres", str(default_cache())]
    orphan = frozen_orphan(subprocess.Popen(program, text=True))
    try:
        with pytest.raises(ServerFailed, match=r"an earlier PostgreSQL 18 still uses .* and does not end"):
            EmbeddedServers(data_dir, kafka=False, redis=False).start()
    finally:
        orphan.resume()
        orphan.wait(10)


INTERRUPTED = """
import signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from service.embedded import EmbeddedServers
def interrupt(line):
    if "database cluster" in line:
        signal.raise_signal(signal.SIGINT)
EmbeddedServers(Path(sys.argv[2]), kafka=False, on_progress=interrupt).start()
"""


def test_an_interrupted_start_leaves_nothing_running_and_can_be_repeated(data_dir: Path) -> None:
    program = [sys.executable, "-c", INTERRUPTED, str(ROOT), str(data_dir)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert "KeyboardInterrupt" in ended.stderr
    with EmbeddedServers(data_dir, kafka=False) as servers:
        put("postgres", servers.addresses, "works")
        put("redis", servers.addresses, "works")

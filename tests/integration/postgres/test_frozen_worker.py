"""A worker that freezes in the middle of a transaction neither holds up its successor nor counts anything twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.builders import make_batch, make_record, scored_partition
from support.histories import append
from support.postgres_databases import history_at, rows

from store.postgres.connection import Timeouts

pytestmark = pytest.mark.servers

Start = Callable[[str], subprocess.Popen[str]]

WORKER = """
import io
import sys
from support.builders import make_batch, make_record
from support.postgres_databases import history_at
from domain.errors import TemporaryError
from store.postgres import append
from store.postgres.connection import Timeouts

dsn, where = sys.argv[1:]
original = getattr(append, where)

def stand_still():
    setattr(append, where, original)
    print("frozen", flush=True)
    sys.stdin.readline()

def then_stand_still(*arguments, **keywords):
    result = original(*arguments, **keywords)
    stand_still()
    return result

class HalfSent(io.BytesIO):
    def read(self, size=-1):
        if self.tell() == 0:
            return super().read(20)
        if self.tell() == 20:
            stand_still()
        return super().read(size)

def half_sent(rows):
    return HalfSent(original(rows).getvalue())

setattr(append, where, half_sent if where == "stream" else then_stand_still)
batch = make_batch([make_record("a"), make_record("b")])
with history_at(dsn, timeouts=Timeouts(idle_in_transaction=1, lock=10)) as history:
    try:
        print("appended", history.append([batch])[0].new, flush=True)
    except TemporaryError:
        print("temporary", flush=True)
        print("again", history.append([batch])[0].new, flush=True)
"""


@pytest.fixture
def start(database: str) -> Iterator[Start]:
    """Starts a worker that stands still after a step of its transaction until it is told to go on."""
    started: list[subprocess.Popen[str]] = []
    root = Path(__file__).parents[3]

    def start_worker(where: str) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, database, where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"},
        )
        started.append(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "frozen\n"
        worker.send_signal(signal.SIGSTOP)
        return worker

    yield start_worker
    for worker in started:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize("where", ["lock", "_fill_the_rest"])
def test_a_worker_that_freezes_with_the_partition_locked_is_cut_off(database: str, start: Start, where: str) -> None:
    worker = start(where)

    with history_at(database, timeouts=Timeouts(idle_in_transaction=1, lock=10)) as successor:
        assert append(successor, make_batch([make_record("a"), make_record("b"), make_record("c")])).new == 3

    worker.send_signal(signal.SIGCONT)
    said, _ = worker.communicate("\n", timeout=30)
    assert said.split() == ["temporary", "again", "0"]
    assert rows(database, "SELECT count(*) FROM document") == [(3,)]
    assert rows(database, "SELECT sum(count) FROM rollup_minute") == [(3,)]


def test_a_worker_that_freezes_while_it_sends_its_rows_holds_nobody_up(database: str, start: Start) -> None:
    """Nothing cuts off a COPY that stands still: so it is done before any lock is taken."""
    worker = start("stream")

    with history_at(database, timeouts=Timeouts(idle_in_transaction=0.1, lock=0.5)) as successor:
        assert append(successor, make_batch([make_record("a"), make_record("b")])).new == 2
        assert successor.next_offset(scored_partition()) == 2

    worker.send_signal(signal.SIGCONT)
    said, _ = worker.communicate("\n", timeout=30)
    assert said.split() == ["appended", "0"]
    assert rows(database, "SELECT sum(count) FROM rollup_minute") == [(2,)]

"""`groundswell demo`: the whole of Groundswell on this machine, on servers of its own, fed with the bundled stream."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from service import up
from service.demo.compose_sample import SAMPLE
from service.demo.play import Play
from service.demo.receiver import LocalReceiver
from service.embedded import KafkaUnavailable, MemoryKafka, reset
from service.scratch import scratch_folder
from service.sections import default_data_dir
from service.settings import Loaded, load
from service.supervise import Supervisor

SPEED = "480x"
"""Six simulated hours in 45 seconds."""
SETTLE = "5m"
"""Event time after the last document; further ahead of the clock it may not go."""
_API_PORT = 8400


def run(*, keep: bool, data_dir: Path | None) -> int:
    """Run the demonstration to its end (with `keep` until Ctrl-C). Returns the exit code: 0, or 130 after Ctrl-C.

    The data folder is the demonstration's own and is emptied first, since the same documents would not count twice. It
    reads no settings but its own, so that it reaches no servers or receivers of yours.
    """
    console = Console()
    folder = data_dir or default_data_dir() / "demo"
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        reset(folder)
        with _everything(folder, console) as play:
            play.to_the_end()
            play.summarise()
            if keep:
                play.stay()
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


@contextmanager
def _everything(folder: Path, console: Console) -> Iterator[Play]:
    """Servers, processes and the feed, from their start to their end."""

    def say(line: str) -> None:
        console.print(line, style="dim", highlight=False, markup=False)

    with ExitStack() as stack:
        receiver = stack.enter_context(LocalReceiver())
        scratch = stack.enter_context(scratch_folder())
        loaded = _settings(folder, scratch, receiver)
        try:
            ready, servers = stack.enter_context(up.ready_servers(loaded, say=say))
        except KafkaUnavailable:
            say("Apache Kafka can't be had here: an in-memory broker takes its place, which keeps nothing")
            broker = stack.enter_context(MemoryKafka()).address.bootstrap_servers
            loaded = loaded.over({"kafka.bootstrap_servers": broker}, "in-memory broker")
            ready, servers = stack.enter_context(up.ready_servers(loaded, say=say))
        logs = folder / "logs"
        logs.mkdir()
        children = [
            up.child(name, command, ready, scratch, log=logs / f"{name}.log") for name, command in up.PROCESSES.items()
        ]
        # Started by the play, once: a feed that has ended is not to be started again.
        feed = up.child("feed", _feed(), ready, scratch, log=logs / "feed.log")
        stack.callback(feed.kill)
        supervisor = Supervisor(children, servers=tuple(servers.servers.values()) if servers else (), say=say)
        stack.enter_context(supervisor)
        yield Play(ready.settings, supervisor=supervisor, feed=feed, receiver=receiver, console=console)


def _feed() -> tuple[str, ...]:
    return ("feed", str(SAMPLE), "--speed", SPEED, "--shift-to-now", "--settle", SETTLE)


def _settings(folder: Path, scratch: Path, receiver: LocalReceiver) -> Loaded:
    config = scratch / "groundswell.yml"
    config.write_text("# The demonstration's settings come from its command line.\n")
    overrides = {
        "data_dir": str(folder),
        "kafka.partitions": 2,
        "log.level": "WARNING",
        "http.port": _free_port(),
        "rules": [{"name": "surge", "severity": "critical"}],
        "receivers": [{"name": "risk-team", "url": receiver.url, "secret": receiver.secret}],
    }
    return load(config, environment={}, overrides=overrides, find_running=False)


def _free_port() -> int:
    """The API's usual port, or any other when that one is taken."""
    for port in (_API_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return _API_PORT

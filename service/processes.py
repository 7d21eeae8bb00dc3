"""What each process does from its start to its end."""

from __future__ import annotations

import faulthandler
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from domain.errors import GroundswellError
from service import log, wiring
from service.metrics import PrometheusTelemetry
from service.sampler import sampled
from service.settings import Settings
from service.stage_readiness import StageReadiness

_log = logging.getLogger(__name__)

Stage = Literal["classify", "record"]


def run_stage(settings: Settings, stage: Stage) -> int:
    """One stage of the worker, until a signal. Returns the exit code."""
    from stream.runner import run

    telemetry = wiring.telemetry()
    readiness = StageReadiness()
    dependencies = ("kafka",) if stage == "classify" else ("kafka", "postgres", "redis")
    make = wiring.classify_stage if stage == "classify" else wiring.record_stage
    with _logged(settings), _probed(settings, telemetry, dependencies, {stage: readiness.probe}):
        intake = make(settings, telemetry)
        readiness.begin(intake)
        return run(intake)


def run_watch(settings: Settings) -> None:
    """Rules and delivery, each in a thread, until a signal. When one of them fails the other is stopped, and what it
    raised is raised here."""
    telemetry = wiring.telemetry()
    with _logged(settings), _probed(settings, telemetry, ("postgres", "redis")):
        watcher, deliverer = wiring.watcher(settings, telemetry), wiring.deliverer(settings, telemetry)
        _run_together({"watcher": watcher.run, "deliverer": deliverer.run})


def run_api(settings: Settings) -> None:
    """The HTTP API, until a signal."""
    from service import readiness
    from service.http.app import create_app
    from service.http.serve import serve

    with _logged(settings):
        telemetry = wiring.telemetry()
        probes = readiness.probes(settings, telemetry.render, ("kafka", "postgres", "redis"))
        app = create_app(wiring.api_parts(settings, telemetry, probes))
        with sampled(*wiring.samples(settings, telemetry)):
            serve(app, host=settings.http.host, port=settings.http.port)


@contextmanager
def _logged(settings: Settings) -> Iterator[None]:
    """Logging as the settings say; an error that is a bug of ours is logged with its trace, for nobody is there to ask
    for it again."""
    log.set_up(settings.log.level, settings.log.format)
    # `kill -USR1` shows what every thread is doing.
    faulthandler.register(signal.SIGUSR1)
    try:
        yield
    except GroundswellError:
        raise
    except Exception:
        _log.exception("This process can't go on")
        raise


def _run_together(parts: Mapping[str, Callable[[threading.Event], None]]) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(part: Callable[[threading.Event], None]) -> None:
        try:
            part(stop)
        except BaseException as error:
            failures.append(error)
        finally:
            stop.set()

    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        # Not stop.set(): the handler runs in the thread that may hold the event's lock.
        signal.signal(number, lambda number, _: signals.append(number))
    threads = [threading.Thread(target=run, args=(part,), name=name) for name, part in parts.items()]
    for thread in threads:
        thread.start()
    while not signals and not stop.wait(0.2):
        pass
    stop.set()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@contextmanager
def _probed(
    settings: Settings,
    telemetry: PrometheusTelemetry,
    dependencies: Sequence[str],
    work: Mapping[str, Callable[[], str]] | None = None,
) -> Iterator[None]:
    """/livez, /readyz and /metrics on the port of the settings, where there is one."""
    if not settings.metrics.port:
        yield
        return
    from service import readiness
    from service.http.app import create_probe_app
    from service.http.serve import served

    app = create_probe_app(readiness.probes(settings, telemetry.render, dependencies, work))
    with served(app, host=settings.metrics.host, port=settings.metrics.port):
        yield

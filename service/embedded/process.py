"""Starts programs that never outlive this process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, Signals
from typing import BinaryIO

from domain.errors import PermanentError
from service.embedded import launch

# Not the caller's environment: JAVA_TOOL_OPTIONS, PGOPTIONS or a locale would change what the servers do.
PLAIN_ENVIRONMENT: Mapping[str, str] = {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"}


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program to run. `environment` None means ours. `account` is the (uid, gid) to run as, None to stay."""

    arguments: Sequence[str]
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    folder: Path | None = None
    account: tuple[int, int] | None = None
    death_signal: Signals = SIGKILL
    """What the kernel sends to the program when we die."""


def spawn(command: Command, output: BinaryIO | None, *, keep_open: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a program that stays. It gets a session of its own, so that a Ctrl-C reaches us alone and we decide in
    which order things end.

    Raises RuntimeError from any thread but the main one: the program would die with that thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("servers and workers are started by the main thread: they would die with any other")
    return _popen(command, output, keep_open)


def run(command: Command, output: BinaryIO, *, keep_open: Sequence[int] = ()) -> int:
    """Run a program to its end and return its exit status."""
    return _popen(command, output, keep_open).wait()


def wheel_folder(package: str) -> Path:
    """Where a package that carries programs lies. It is not imported: that may have side effects.

    Raises PermanentError when it isn't installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise PermanentError(f"{package} is not installed: install it, or give the address of a server that runs")
    return Path(spec.submodule_search_locations[0])


def _popen(command: Command, output: BinaryIO | None, keep_open: Sequence[int]) -> subprocess.Popen[bytes]:
    account = "-" if command.account is None else "{}:{}".format(*command.account)
    launcher = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(int(command.death_signal)), account]
    return subprocess.Popen(
        [*launcher, *command.arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=command.environment,
        cwd=command.folder,
        start_new_session=True,
        pass_fds=keep_open,
    )

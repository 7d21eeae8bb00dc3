"""One turn of one rival: reads a job, answers texts for some seconds, prints one line of JSON.

The standard library only: it runs in every rival's environment. A rival's module calls `main`, and is started as

    python -m bench.rivals.NAME prepare JOB.json      # what it makes of the checkpoint, once
    python -m bench.rivals.NAME VARIANT JOB.json      # one turn
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKED = 16
"""Of so many texts the answers are printed, to compare them with those of others."""

Answer = Callable[[Iterator[Sequence[str]]], Iterator[Sequence[Any]]]
"""Takes texts, so many together, and gives an answer for each: label probabilities in the order of the heads."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a turn is given."""

    texts: Path
    """A JSON list of strings."""
    model: Path
    """The model folder of ours."""
    checkpoint: Path
    """The plain Hugging Face sequence classifier that the others get."""
    prepared: Path
    """A folder for what a rival makes of it."""
    seconds: float
    threads: int

    def read(self) -> list[str]:
        """The texts."""
        texts: list[str] = json.loads(self.texts.read_text(encoding="utf-8"))
        return texts


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A rival that is ready."""

    answer: Answer
    together: int
    """How many texts it is handed at a time."""
    close: Callable[[], None] | None = None
    """Ends the threads that would keep the process running."""


def call(classify: Callable[[list[str]], Sequence[Any]]) -> Answer:
    """Of a function that answers a list."""

    def answer(chunks: Iterator[Sequence[str]]) -> Iterator[Sequence[Any]]:
        for chunk in chunks:
            yield classify(list(chunk))

    return answer


def main(variants: Mapping[str, Callable[[Job], Loaded]], *, prepare: Callable[[Job], None] | None = None) -> None:
    """Of a rival's module."""
    wanted, file = sys.argv[1:]
    fields: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    for name in ("texts", "model", "checkpoint", "prepared"):
        fields[name] = Path(fields[name])
    job = Job(**fields)
    if wanted == "prepare":
        if prepare is not None:
            prepare(job)
        return
    loaded = variants[wanted](job)
    try:
        print(json.dumps(measured(loaded, job)))
    finally:
        if loaded.close:
            loaded.close()


def measured(loaded: Loaded, job: Job) -> dict[str, Any]:
    """Documents in seconds, from when the first texts that were handed over together are done, which warms up, until
    the time or the texts are over; always at least as many texts again."""
    texts = job.read()
    chunks = [texts[start : start + loaded.together] for start in range(0, len(texts), loaded.together)]
    if len(chunks) < 2:
        raise ValueError(f"{len(texts)} texts are too few: {loaded.together} of them warm up")
    stream = loaded.answer(iter(chunks))
    warm = next(stream)
    began = ended = time.perf_counter()
    done = 0
    for answers in stream:
        done += len(answers)
        ended = time.perf_counter()
        if ended - began >= job.seconds:
            break
    return {
        "first": len(warm),
        "documents": done,
        "seconds": ended - began,
        "peak_bytes": peak_bytes(),
        "answers": [[float(score) for score in row] for row in warm[:CHECKED]],
    }


def peak_bytes() -> int:
    """The most memory that this process has had resident: not of getrusage, which remembers the parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) * 1024

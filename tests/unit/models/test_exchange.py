"""A process in which one model takes the place of another goes on, and still ends when it is told to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SWAP = """
import gc, os, signal, threading
from models import load_classifier

running = [load_classifier(device="cpu", streams=1)]

def swap():
    running.append(load_classifier(device="cpu", streams=1))
    del running[0]
    gc.collect()

for _ in range(2):
    loader = threading.Thread(target=swap)
    loader.start()
    loader.join()
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
os.kill(os.getpid(), signal.SIGTERM)
print(len(running[0].classify(["Oil falls."])))
"""


def test_a_signal_after_a_swap_is_handled() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWAP], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "told\n1\n"), done.stderr

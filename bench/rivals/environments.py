"""An environment for each library that is compared with, made once under the user's cache folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from platformdirs import user_cache_path

PINS: Mapping[str, Sequence[str]] = {
    "transformers": ("torch==2.15.0", "transformers==5.17.0"),
    "onnxruntime": (
        "onnx==1.23.2",
        "onnxruntime==1.32.0",
        "optimum-onnx==0.1.0",
        "torch==2.15.0",
        "transformers==4.57.6",
    ),
    "optimum-intel": (
        "datasets==5.0.1",
        "nncf==3.4.0",
        "openvino==2026.4.1",
        "optimum-intel==2.2.0",
        "torch==2.15.0",
        "transformers==5.5.4",
    ),
    "ctranslate2": ("ctranslate2==4.8.5", "torch==2.15.0", "transformers==5.17.0"),
    # The newest of which it makes use of all: under later ones of transformers it does without optimum's faster layers,
    # and under later ones of optimum without its ONNX optimiser. This optimum doesn't load with a later torch.
    "infinity-emb": (
        "infinity-emb[torch]==0.0.78",
        "onnx==1.23.2",
        "onnxruntime==1.32.0",
        "optimum==1.27.0",
        "torch==2.8.0",
        "transformers==4.48.3",
    ),
}
"""What is installed in each; torch is the same wherever it can be, so that uv keeps one copy of it."""

_WHOLE = "installed"


class NotInstalled(RuntimeError):
    """An environment could not be made; says why."""


def python(name: str, say: Callable[[str], None]) -> Path:
    """The interpreter of an environment, which is made where it is missing. Raises NotInstalled."""
    pins = PINS[name]
    digest = hashlib.sha256("\n".join([sys.version, *pins]).encode()).hexdigest()[:12]
    folder = user_cache_path("groundswell") / "bench" / f"{name}-{digest}"
    interpreter = folder / "bin" / "python"
    if not (folder / _WHOLE).exists():
        say(f"Installing {', '.join(pins)} (once) …")
        uv = _uv()
        shutil.rmtree(folder, ignore_errors=True)
        _done([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _done([uv, "pip", "install", "--quiet", "--python", str(interpreter), *pins])
        (folder / _WHOLE).touch()
    return interpreter


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise NotInstalled("uv is missing: pip install uv")
    return found


def _done(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(" ".join(done.stderr.split())[:300] or f"{command[1]} failed")

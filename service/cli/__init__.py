"""The `groundswell` command. Command modules import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

from service.cli.app import app, main

# In the order of --help.
# isort: off
from service.cli import run as run
from service.cli import feed as feed
from service.cli import classify as classify
from service.cli import train as train
from service.cli import evaluate as evaluate
from service.cli import explain as explain
from service.cli import compress as compress
from service.cli import label_next as label_next
from service.cli import topics as topics
from service.cli import db as db
from service.cli import models as models
from service.cli import corrections as corrections
from service.cli import dead_letters as dead_letters
from service.cli import inspect as inspect

# isort: on

__all__ = ["app", "main"]

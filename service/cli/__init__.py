"""The `groundswell` command. Command modules import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

from service.cli.app import main

__all__ = ["main"]

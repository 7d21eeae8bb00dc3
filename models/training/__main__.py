"""`python -m models.training`: what `groundswell train` does, where only this room's libraries are installed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from domain.errors import GroundswellError
from models.training.configure import read_config
from models.training.run import DEVICES, dry_run, train


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m models.training",
        description="Fine-tune a classifier on labelled files. A run that was stopped goes on with the same command.",
        epilog="Example: python -m models.training --config train.yml --set epochs=3",
    )
    parser.add_argument("--config", required=True, help="the configuration (YAML), or the name of a shipped recipe")
    parser.add_argument("--out", type=Path, help="the model folder to write (default: the model's name)")
    parser.add_argument("--data-dir", type=Path, help="where the labelled files are (default: the configuration's)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change an option")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, help="--no-resume starts over")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="default: auto")
    parser.add_argument("--dry-run", action="store_true", help="check everything, show what would be learnt")
    options = parser.parse_args()
    config = read_config(options.config, options.set)
    data_dir = options.data_dir or (Path(options.config).parent if Path(options.config).is_file() else Path())
    if options.dry_run:
        dry_run(config, data_dir=data_dir, report=print)
        return
    out = options.out or Path(config.name)
    print(train(config, out=out, data_dir=data_dir, resume=options.resume, device=options.device).settings.ref)


if __name__ == "__main__":
    try:
        main()
    except GroundswellError as error:
        sys.exit(f"error: {error}")

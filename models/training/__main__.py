"""`python -m models.training`: what `groundswell train` does, where only this room's libraries are installed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from domain.errors import GroundswellError
from models.training.command import Request, execute
from models.training.run import DEVICES


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m models.training",
        description="Fine-tune a classifier on labelled files. A run that was stopped goes on with the same command.",
        epilog="Example: python -m models.training --config train.yml --set epochs=3",
    )
    parser.add_argument(
        "--config", required=True, help="the configuration (YAML), the name of a shipped recipe, or a model folder"
    )
    parser.add_argument("--out", type=Path, help="the model folder to write (default: the model's name)")
    parser.add_argument("--data-dir", type=Path, help="where the labelled files are (default: the configuration's)")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="change an option"
    )
    parser.add_argument(
        "--refit", action="store_true", help="train the model in the folder --config again, on what it held out too"
    )
    going_on = parser.add_mutually_exclusive_group()
    going_on.add_argument("--resume", action="store_true", default=None, help="go on, from the last checkpoint")
    going_on.add_argument("--fresh", dest="resume", action="store_false", help="start over, and replace OUT")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="default: auto")
    parser.add_argument("--distil-from", type=Path, nargs="+", default=(), help="teachers, or a folder of teachers")
    parser.add_argument("--unlabelled", type=Path, nargs="+", default=(), help="files of texts that teachers label")
    parser.add_argument("--folds", type=int, help="train so many teachers, each on all stories but a fold's")
    parser.add_argument("--search", type=int, help="try so many values of search.space")
    parser.add_argument("--audit", type=Path, help="write there the labels that teachers contradict out of fold")
    parser.add_argument("--dry-run", action="store_true", help="check everything, show what would be learnt")
    execute(Request(**vars(parser.parse_args())), lambda line: print(line, flush=True))


if __name__ == "__main__":
    try:
        main()
    except GroundswellError as error:
        sys.exit(f"error: {error}")

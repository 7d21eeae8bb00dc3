"""The command line: global options, and errors as one readable line."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from domain.errors import GroundswellError
from service import log

if TYPE_CHECKING:
    from service.settings import Loaded

app = typer.Typer(
    name="groundswell",
    help="Watch what the financial world is saying, and tell a risk team when it turns.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Invocation:
    """The global options of one call of the command."""

    def __init__(self, *, config: Path | None, debug: bool) -> None:
        self.config = config
        self.debug = debug

    def load(self, *, find_running: bool = True, **overrides: Any) -> Loaded:
        """The settings, with values of the command line over them: `http__port=1` is `http.port`; None: not given."""
        from service.settings import load

        given = {key.replace("__", "."): value for key, value in overrides.items() if value is not None}
        return load(self.config, overrides=given, find_running=find_running)


@app.callback(epilog="Example: groundswell --config /etc/groundswell.yml up")
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The settings file. Without it: $GROUNDSWELL_CONFIG, then groundswell.yml in the working folder."
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole trace of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version.", is_eager=True, callback=lambda wanted: _show_version(wanted)
        ),
    ] = False,
) -> None:
    # A command says in one line of its own what went wrong, however often a library said so before.
    log.set_up("WARNING", libraries="NOTSET" if debug else "CRITICAL")
    context.obj = Invocation(config=config, debug=debug)


def main() -> None:
    """Run the command and exit: 0 when all went well, 2 when it was called wrongly, 130 after Ctrl-C, else 1."""
    try:
        status = app(standalone_mode=False, prog_name="groundswell")
    except GroundswellError as error:
        _fail(str(error))
    except typer.Abort:
        _fail("stopped")
    except typer.TyperException as error:
        _refuse(error)
    except Exception as error:
        _fail(f"{type(error).__name__}: {error} (a bug; `groundswell --debug …` shows where)")
    sys.exit(status if isinstance(status, int) else 0)


def _refuse(error: typer.TyperException) -> NoReturn:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "groundswell"
    message = error.format_message()
    if not message:  # nothing was asked for, and the help was shown
        sys.exit(error.exit_code)
    _fail(f"{message} (see {command} --help)", error.exit_code)


def _fail(message: str, status: int = 1) -> NoReturn:
    if "--debug" in sys.argv:
        traceback.print_exc()
    print(f"groundswell: {message}", file=sys.stderr)
    sys.exit(status)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"groundswell {version('groundswell')}")
        raise typer.Exit

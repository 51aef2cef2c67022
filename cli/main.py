"""The `dfer` command: its subcommands and global options, and how exceptions become exit codes."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, TextIO

import typer

from dfer_data.processes import are_cores_busy

from ._support import command_line, exit_codes
from ._support.command_help import HelpCommand, HelpGroup, unbroken
from .audit import audit
from .compact import compact
from .datasets import datasets
from .demo import demo
from .detectors import detectors_app
from .doctor import doctor
from .evaluate import evaluate, features
from .export import export
from .folds import folds
from .inspect import inspect
from .lock import lock_app
from .look import look
from .model import model_app
from .predict import predict
from .prepare import prepare
from .recipes import recipes_app
from .relabel import relabel
from .remove import remove
from .replicate import replicate_app
from .report import report
from .status import status
from .sweep import sweep
from .synth import synth
from .train import train
from .verify import verify
from .weights import weights_app

OPENMP_SETTINGS = {"GOMP_SPINCOUNT": "30000"}
"""How torch's threads wait for each other unless the environment says otherwise: 0.3 ms in a loop, then asleep. The
default of OpenMP, ten times as long, takes the cores from other programs; asleep at once, small networks train 1.4 to
1.6 times as slowly (benchmarks/loaded_training.py)."""
BUSY_OPENMP_SETTINGS = {"GOMP_SPINCOUNT": "300"}
"""The same where other programs keep the cores busy when dfer starts: 0.003 ms. It changes no number."""

_command_of = functools.cache(typer.main.get_command)  # typer takes 50 ms: later calls of `main` share what it made
_COMPLETION = """Completion of commands, options and names: run `dfer --install-completion` once in bash, zsh, fish or
PowerShell, and open a new terminal."""
# Plain-text help: with rich, `dfer --help` would take three times as long.
app = typer.Typer(
    name="dfer",
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=unbroken(_COMPLETION),
)
for _command in (
    *(prepare, status, verify, audit, inspect, look, export, folds, relabel, remove, compact),
    *(train, sweep, report, evaluate, features, predict, datasets, synth, demo, doctor),
):
    app.command(cls=HelpCommand)(_command)
app.add_typer(detectors_app, name="detectors")
app.add_typer(lock_app, name="lock")
app.add_typer(model_app, name="model")
app.add_typer(recipes_app, name="recipes")
app.add_typer(replicate_app, name="replicate")
app.add_typer(weights_app, name="weights")


def _show_version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version

        typer.echo(f"dfer {version('dfer')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; works in any position.")
    ] = False,
) -> None:
    """Turn raw face videos into WAR/UAR tables for dynamic facial expression recognition.

    Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 finished but some videos failed, 4 damaged data,
    5 folder locked by another run, 130 interrupted, 141 broken pipe.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: that of this process) and return its exit code; see `exit_codes.ExitCode`."""
    arguments, debug = _take_debug(sys.argv[1:] if argv is None else argv)
    if argv is None:
        if "OMP_WAIT_POLICY" not in os.environ:
            settings = BUSY_OPENMP_SETTINGS if are_cores_busy() else OPENMP_SETTINGS
            for name, value in settings.items():  # before torch is loaded
                os.environ.setdefault(name, value)
        _open_closed_streams()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's SIGTERM is handled like Ctrl+C
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names are not always valid text
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        code = exit_codes.report(error, debug=debug, command=arguments[0] if arguments else "")
    for stream in (sys.stdout, sys.stderr):
        _flush_or_silence(stream)
    return code


def _open_closed_streams() -> None:
    """Open those of stdin, stdout and stderr that are closed on the null device.

    Else the next file that is opened gets such a stream's number, and messages are written into it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null == number:
                os.set_inheritable(number, True)
            else:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _run(arguments: list[str]) -> int:
    """Run typer with the arguments and return the exit code; typer ends every command with SystemExit."""
    command_line.WORDS.set(tuple(arguments))
    try:
        _command_of(app).main(args=arguments, prog_name="dfer")
    except SystemExit as stop:
        # typer turns a broken pipe and Ctrl+C into its own SystemExit; the original is in the exception's context.
        for cause in (stop.__context__, stop.__context__ and stop.__context__.__cause__):
            if isinstance(cause, BrokenPipeError | KeyboardInterrupt):
                raise cause from None
        return stop.code if isinstance(stop.code, int) else exit_codes.ExitCode.FAILED
    return exit_codes.ExitCode.OK


def _take_debug(argv: Sequence[str]) -> tuple[list[str], bool]:
    """Remove `--debug` anywhere before a `--`, since users append it to the command that just failed."""
    end = argv.index("--") if "--" in argv else len(argv)
    options = [argument for argument in argv[:end] if argument != "--debug"]
    return [*options, *argv[end:]], len(options) < end


def _flush_or_silence(stream: TextIO) -> None:
    """Flush a stream; redirect one that fails to the null device, where the interpreter's last flush does not fail."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

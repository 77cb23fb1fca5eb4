"""All commands as one: wrong usage is one document too, and an answer that reaches nobody is an error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from squat_deploy import interrupts
from squat_deploy.cli.console import USER, OutputError, fail, told, writing
from squat_deploy.cli.guarding import explain
from squat_deploy.cli.progress import progress
from squat_deploy.cli.settings import FILE, in_force, read_settings

_OWN_LINES = ("train", "run")  # which say losses, or cells, where they are called from Python too


class Command(TyperCommand):
    """One command: says what it takes from the user's file, and how far it is."""

    def invoke(self, ctx: Any) -> Any:
        """On standard error: options that squat.toml has set, since they were not typed."""
        said = [f"{key} = {value}" for key, value in in_force(ctx)]
        if said:
            told(f"{FILE}:", ", ".join(said), "dim")
        own = ctx.command.name in _OWN_LINES
        with progress(str(ctx.command.name), as_json=bool(ctx.params.get("as_json")) or own):
            return super().invoke(ctx)


class Commands(TyperGroup):
    """All commands: wrong usage is one document too, and an answer that reaches nobody is an error."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """As click's, and ends the process with an exit code where it stands alone."""
        given = list(sys.argv[1:] if args is None else args)

        def call() -> Any:
            asks = {"--help", "--version"} & set(given)  # which a broken file must not hinder
            told = {"default_map": {} if asks else read_settings(self.commands), **extra}
            return super(Commands, self).main(given, prog_name, complete_var, False, windows_expand_args, **told)

        if not standalone_mode:
            return call()
        with interrupts.noticed():
            sys.exit(_code_of(call, as_json=any(word.split("=")[0] == "--json" for word in given)))


def _code_of(call: Callable[[], Any], *, as_json: bool) -> int:
    """Runs a command. Returns: its exit code."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 (until the process ends)
    if sys.stdout is None:  # nor may a file that is opened later take its number
        told("error:", "cannot write to standard output: it is closed")
        return USER
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = _ran(call, as_json=as_json)
    try:
        with writing():
            sys.stdout.flush()
    except OutputError as error:
        told("error:", str(error))
        return code or USER
    return code


def _ran(call: Callable[[], Any], *, as_json: bool) -> int:
    try:
        try:
            code = call()
            return code if isinstance(code, int) else 0
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else USER
        except BaseException as error:  # noqa: BLE001 (what comes before or after a command)
            if hasattr(error, "format_message"):  # wrong usage, as click and typer raise it
                return _misused(error, as_json=as_json)
            explain(KeyboardInterrupt() if isinstance(error, typer.Abort) else error, as_json)
    except typer.Exit as error:
        return error.exit_code


def _misused(error: Any, *, as_json: bool) -> int:
    code = int(error.exit_code)
    if as_json:
        fail(error.format_message(), True, code=code)
    with contextlib.suppress(OSError):
        error.show(file=sys.stderr)
    return code

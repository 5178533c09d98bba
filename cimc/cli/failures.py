"""Turn whatever goes wrong into one clear message and the right exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from cimc.errors import CimcError, InternalError, UsageError

INTERRUPTED = 130


class CimcGroup(click.Group):
    """A click group that exits with the codes of :mod:`cimc.errors` and never with a traceback."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run a command line and exit.

        Args:
            args: Arguments without the program's name; those of the process by default.
            prog_name: Name in usage messages.
            extra: As for :meth:`click.Group.main`.
        """
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = super().main(args=given, prog_name=prog_name or "cimc", **extra)
            sys.stdout.flush()
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted; nothing was left half-written", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read our output left; so that Python does not complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(INTERRUPTED)
        except Exception as error:  # the last line of defence: everything else is shown below
            sys.exit(report(error, given))
        sys.exit(code if isinstance(code, int) else 0)


def report(error: Exception, args: Sequence[str]) -> int:
    """Show an error on stderr, with ``--json`` also as an object on stdout.

    Returns:
        The exit code.
    """
    shown = understand(error)
    if "--traceback" in args and isinstance(shown, InternalError):
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True)
    click.echo(str(shown), err=True)
    if "--json" in args:
        import json

        names = ("code", "message", "where", "hint")
        click.echo(json.dumps({"error": {n: getattr(shown, n) for n in names}}))
    return shown.exit_code


def understand(error: Exception) -> CimcError:
    """Return the error to show for an exception."""
    if isinstance(error, CimcError):
        return error
    if isinstance(error, click.ClickException):
        context = error.ctx if isinstance(error, click.UsageError) else None
        command = context.command_path if context is not None else "cimc"
        return UsageError("CIMC-U01", error.format_message(), hint=f"'{command} --help'")
    if isinstance(error, OSError) and error.filename is not None:
        return UsageError(
            "CIMC-U07",
            f"cannot read or write: {error.strerror or error}",
            where=str(error.filename),
        )
    if isinstance(error, MemoryError):
        return InternalError(
            "CIMC-I18",
            "out of memory",
            hint="fewer samples in --data, or a machine with more memory",
        )
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return InternalError(
        "CIMC-I19",
        f"internal error: {text[:500]}",
        hint="'cimc --traceback ...' for the traceback, to go with a bug report",
    )

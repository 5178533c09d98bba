"""The ``cimc`` command and its subcommands."""

from __future__ import annotations

import atexit
import gc
import os

import click

from cimc.cli.compile import compile_command
from cimc.cli.failures import CimcGroup
from cimc.cli.faults import faults_group
from cimc.cli.fleet import fleet_command
from cimc.cli.inspect import inspect_command
from cimc.cli.recompile import recompile_command
from cimc.cli.run import run_command
from cimc.cli.sensitivity import sensitivity_command
from cimc.cli.target import target_group
from cimc.cli.verify import verify_command
from cimc.cli.version import show_version, version_command

LEVELS = ("debug", "info", "warning", "error")


@click.group(
    cls=CimcGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--traceback", is_flag=True, help="Show the traceback of an internal error.")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="warning",
    show_default=True,
    help="How much to log on stderr.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the version and exit.",
)
@click.pass_context
def main(context: click.Context, traceback: bool, log_level: str) -> None:
    """Compile trained networks to analog compute-in-memory chips, and verify what they will do.

    Exit codes: 0 ok, 1 verification gate failed, 2 usage, 3 bad model or data, 4 bad target,
    fault map or program file, 5 does not fit, 70 internal error, 130 interrupted.
    """
    from cimc.cli.output import set_up_logging

    # Before torch starts: threads that wait without spinning.  With other work on the machine
    # spinning makes a run several times slower; alone it gains little.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # At exit the system takes memory back; looking for cycles in all of torch first takes 0.4 s.
    atexit.register(gc.freeze)
    context.ensure_object(dict)["traceback"] = traceback
    set_up_logging(log_level)


main.add_command(compile_command)
main.add_command(recompile_command)
main.add_command(verify_command)
main.add_command(run_command)
main.add_command(sensitivity_command)
main.add_command(fleet_command)
main.add_command(inspect_command)
main.add_command(faults_group)
main.add_command(target_group)
main.add_command(version_command)

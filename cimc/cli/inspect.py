"""``cimc inspect``: what is in a device program."""

from __future__ import annotations

import click

from cimc.cli.options import json_option


@click.command("inspect")
@click.argument("program")
@click.option("--layer", metavar="NAME", help="One crossbar layer in full.")
@click.option("--array", type=click.IntRange(min=0), metavar="K", help="One array.")
@click.option(
    "-o",
    "--output",
    metavar="G.csv",
    help="With --array: write its conductance matrix [uS], the one a tester loads.",
)
@json_option
def inspect_command(
    program: str, layer: str | None, array: int | None, output: str | None, as_json: bool
) -> None:
    """Show what is in PROGRAM: layers, arrays, operations, provenance."""
    from cimc.errors import UsageError

    if layer is not None and array is not None:
        raise UsageError(
            "CIMC-U06", "both --layer and --array are given", hint="one of them, or none"
        )
    if output is not None and array is None:
        raise UsageError("CIMC-U06", "--output goes with --array", hint="--array 0 -o G.csv")
    click.echo("", err=True)

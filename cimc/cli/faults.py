"""``cimc faults``: draw, show and check the fault maps of chips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cimc.cli.faults_sample import sample_command
from cimc.cli.options import json_option

if TYPE_CHECKING:
    from cimc.faults import FaultMap
    from cimc.faults.summary import Summary
    from cimc.program.model import DeviceProgram
    from cimc.targets import Target


@click.group("faults", short_help="Draw, show and check the fault maps of chips.")
def faults_group() -> None:
    """Draw, show and check fault maps: which cells of one chip cannot be programmed."""


faults_group.add_command(sample_command)


@faults_group.command("show")
@click.argument("fault_map", metavar="F")
@click.option("--array", type=click.IntRange(min=0), metavar="K", help="Draw this array only.")
@click.option("-o", "--output", metavar="PICTURE", help="Heat map to write, .svg or .png.")
@click.option("--chip", metavar="ID", help="Id of the chip, where a CSV file does not say.")
@json_option
def show_command(
    fault_map: str, array: int | None, output: str | None, chip: str | None, as_json: bool
) -> None:
    """Show what is in the fault map F: cells per state, arrays, broken lines; draw a picture."""
    from cimc.cli.output import check_output, emit_json
    from cimc.errors import UsageError

    if array is not None and output is None:
        raise UsageError("CIMC-U06", "--array goes with a picture", hint="--array 0 -o CHIP.svg")
    if output is not None:
        if Path(output).suffix.lower() not in (".svg", ".png"):
            name = Path(output).name
            raise UsageError(
                "CIMC-U06",
                f"{name!r} is no picture cimc writes",
                hint=f"-o {Path(output).stem}.svg",
            )
        check_output(output)
    from cimc.faults import load_fault_map
    from cimc.faults.summary import summarize

    summary = summarize(load_fault_map(fault_map, chip=chip))
    if output is not None:
        from cimc.cli.save import save_bytes
        from cimc.faults.picture import picture

        kind: Any = Path(output).suffix.lower()[1:]
        save_bytes(output, picture(summary.map, kind, array=array))
    _show_summary(summary, fault_map, output)
    if as_json:
        emit_json({**summary.to_json(), "picture": output})


@faults_group.command("check")
@click.argument("fault_map", metavar="F")
@click.argument("program", required=False)
@click.option("--target", metavar="T", help="Check against this target.")
@click.option("--chip", metavar="ID", help="Id of the chip, where a CSV file does not say.")
@json_option
def check_command(
    fault_map: str, program: str | None, target: str | None, chip: str | None, as_json: bool
) -> None:
    """Check the fault map F, alone, against PROGRAM or against --target."""
    from cimc.cli.faults_options import size_of, subject_of
    from cimc.cli.output import emit_json, warn
    from cimc.faults import checked, load_fault_map

    found = load_fault_map(fault_map, chip=chip)
    warnings: list[str] = []
    result: dict[str, Any] = {"chip": found.chip, "target": found.target or None, "valid": True}
    result |= {**size_of(found), "faulty_cells": len(found.cells)}
    if program is not None or target is not None:
        subject, about = subject_of(program, target)
        found, told = checked(found, subject)
        warnings += told
        result |= {"target": found.target, **size_of(found), **_in_use(found, subject, warnings)}
        click.echo(f"{fault_map}: a valid fault map of chip '{found.chip}' for {about}", err=True)
    else:
        click.echo(f"{fault_map}: a valid fault map of chip '{found.chip}'", err=True)
    warn(warnings)
    if as_json:
        emit_json({**result, "warnings": warnings})


def _in_use(
    found: FaultMap, subject: Target | DeviceProgram, warnings: list[str]
) -> dict[str, Any]:
    """Return what of a map matters to a program."""
    import numpy as np

    from cimc.faults.extent import used_arrays
    from cimc.program.model import DeviceProgram

    if not isinstance(subject, DeviceProgram):
        return {}
    used = used_arrays(subject)
    made_for = None if subject.faults is None else subject.faults.chip
    if made_for not in (None, found.chip):
        warnings.append(f"the program was compiled for chip '{made_for}'")
    return {
        "used_arrays": len(used),
        "described_arrays": int(np.isin(used, found.arrays).sum()),
        "faulty_cells_in_use": int(np.isin(found.cells[:, 0], used).sum()),
    }


def _show_summary(summary: Summary, name: str, picture: str | None) -> None:
    from cimc.cli.faults_show import show_summary

    show_summary(summary, name, picture)

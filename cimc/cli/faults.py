"""``cimc faults``: draw, show and check the fault maps of chips."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cimc.cli.options import json_option, seed_option

if TYPE_CHECKING:
    from cimc.faults import FaultMap
    from cimc.faults.summary import Summary
    from cimc.program.model import DeviceProgram
    from cimc.targets import Target

_RATE = click.FloatRange(0.0, 1.0)


@click.group("faults")
def faults_group() -> None:
    """Draw, show and check fault maps: which cells of one chip cannot be programmed."""


@faults_group.command("sample")
@click.argument("program", required=False)
@click.option("--target", metavar="T", help="All arrays of a chip of T, not those of PROGRAM.")
@click.option("--rate", type=_RATE, metavar="R", help="Faulty cells, as a share of all (0..1).")
@click.option(
    "--lrs-share",
    type=_RATE,
    default=0.5,
    show_default=True,
    metavar="S",
    help="Share of the faulty that are stuck at G_max; the others at G_min.",
)
@click.option(
    "--conductance-share",
    type=_RATE,
    default=0.0,
    metavar="S",
    help="Share of the faulty that are stuck at a conductance of their own [0].",
)
@click.option("--at-g-min", type=_RATE, metavar="R", help="In place of --rate: stuck at G_min.")
@click.option("--at-g-max", type=_RATE, metavar="R", help="In place of --rate: stuck at G_max.")
@click.option(
    "--at-conductance",
    type=_RATE,
    metavar="R",
    help="In place of --rate: stuck at a conductance of their own.",
)
@click.option(
    "--conductance",
    metavar="LOW..HIGH",
    help="Range of those conductances, in uS [from G_min to G_max].",
)
@click.option(
    "--spread",
    type=click.Choice(["uniform", "loguniform"]),
    default="uniform",
    show_default=True,
    help="Of the conductances over that range.",
)
@click.option(
    "--clusters",
    metavar="S[,N[,D]]",
    help="Share S of the faulty cells lie in clusters: N hits on average [8], within D cells of "
    "the centre [2.5].",
)
@click.option(
    "--row-rate", type=_RATE, default=0.0, metavar="R", help="Word lines, all cells stuck [0]."
)
@click.option(
    "--column-rate", type=_RATE, default=0.0, metavar="R", help="Bit lines, all cells stuck [0]."
)
@click.option(
    "--sigma-lrs",
    type=click.FloatRange(0.0, 10.0),
    default=0.0,
    metavar="S",
    help="Spread (sigma / mean) of every cell's highest state [0: not drawn].",
)
@click.option(
    "--sigma-hrs",
    type=click.FloatRange(0.0, 10.0),
    default=0.0,
    metavar="S",
    help="The same of the lowest state.",
)
@click.option(
    "--distribution",
    type=click.Choice(["normal", "lognormal"]),
    default="normal",
    show_default=True,
    help="Of these factors.",
)
@click.option("--chip", metavar="ID", help="Id of the chip [chip-<seed>].")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    help="N chips, seeds from --seed on, into the folder -o; with --chip ID they are ID-<seed>.",
)
@click.option(
    "-o", "--output", required=True, metavar="F", help="File (.safetensors or .csv), or folder."
)
@seed_option
@json_option
def sample_command(as_json: bool, **given: Any) -> None:
    """Draw the faults of chips that do not exist.

    Of the arrays PROGRAM uses, or of a whole chip of --target. The same seed gives the same file.
    """
    from cimc.cli.output import check_output, emit_json, progress_bar
    from cimc.faults import save_fault_map
    from cimc.faults.sampling import sample_rates

    started = time.perf_counter()
    rates = _rates(given)
    rates.check()
    seeds = range(given["seed"] or 0, (given["seed"] or 0) + (given["count"] or 1))
    check_output(given["output"], folder=given["count"] is not None)
    subject, about = _subject(given["program"], given["target"])
    output = Path(given["output"])
    if given["count"] is not None:
        output.mkdir(exist_ok=True)
    chips = []
    with progress_bar() as progress:
        for done, seed in enumerate(seeds):
            several = given["count"] is not None
            chip = f"{given['chip'] or 'chip'}-{seed}" if several else given["chip"]
            progress(f"chips: {done} of {len(seeds)}", done / len(seeds))
            found = sample_rates(subject, rates, seed=seed, chip=chip)
            path = output / _file_name(found.chip) if several else output
            chips.append(_line(found, path, save_fault_map(found, path)))
    result = {
        "output": str(output), "target": found.target, **_size(found),
        "expected_rate": rates.expected, "chips": chips,
        "seconds": time.perf_counter() - started,
    }  # fmt: skip
    _show_sample(result, about)
    if as_json:
        emit_json(result)


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
    from cimc.cli.output import emit_json, warn
    from cimc.faults import checked, load_fault_map

    found, warnings = load_fault_map(fault_map, chip=chip), []
    result: dict[str, Any] = {"chip": found.chip, "target": found.target or None, "valid": True}
    result |= {**_size(found), "faulty_cells": len(found.cells)}
    if program is not None or target is not None:
        subject, about = _subject(program, target)
        found, told = checked(found, subject)
        warnings += told
        result |= {"target": found.target, **_size(found), **_in_use(found, subject, warnings)}
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


def _subject(program: str | None, target: str | None) -> tuple[Target | DeviceProgram, str]:
    """Return the program or the target that is given, and what to call it."""
    from cimc.cli.faults_options import require_subject

    require_subject(program, target)
    if program is not None:
        from cimc.program import read

        return read(program), f"program {program}"
    from cimc.targets import load_target

    loaded = load_target(str(target))
    return loaded, f"target '{loaded.name}'"


def _rates(given: dict[str, Any]) -> Any:
    from cimc.cli.faults_options import rates_of

    return rates_of(given)


def _file_name(chip: str) -> str:
    """Return a name for the map of a chip among others; ids of one run differ in their number."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in chip) + (
        ".safetensors"
    )


def _line(found: FaultMap, path: Path, digest: str) -> dict[str, Any]:
    from cimc.faults.summary import summarize

    summary = summarize(found)
    return {
        "chip": found.chip, "file": str(path), "sha256": digest,
        "faulty_cells": summary.faulty, "rate": summary.rate,
    }  # fmt: skip


def _size(found: FaultMap) -> dict[str, Any]:
    return {
        "arrays": len(found.arrays), "array_rows": found.array_rows,
        "array_columns": found.array_columns,
    }  # fmt: skip


def _show_sample(result: dict[str, Any], about: str) -> None:
    from cimc.cli.output import facts, percent

    chips = result["chips"]
    rates = [c["rate"] for c in chips if c["rate"] is not None]
    drawn = f"{percent(min(rates))} .. {percent(max(rates))}" if rates else "-"
    facts(
        f"wrote {result['output']}",
        [
            ("chips", f"{len(chips)}: {chips[0]['chip']}" + (" ..." if len(chips) > 1 else "")),
            ("arrays", f"{result['arrays']:,} of {about}"),
            ("faulty cells", f"{sum(c['faulty_cells'] for c in chips):,}"),
            ("rate drawn", percent(rates[0]) if len(rates) == 1 else drawn),
            ("rate expected", percent(result["expected_rate"])),
            ("time", f"{result['seconds']:.1f} s"),
        ],
    )


def _show_summary(summary: Summary, name: str, picture: str | None) -> None:
    from cimc.cli.faults_show import show_summary

    show_summary(summary, name, picture)

"""``cimc faults sample``: draw the faults of chips that do not exist."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cimc.cli.options import json_option, seed_option

if TYPE_CHECKING:
    from cimc.faults import FaultMap

_RATE = click.FloatRange(0.0, 1.0)


@click.command("sample")
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
    "--row-rate",
    type=_RATE,
    default=0.0,
    metavar="R",
    help="Share of word lines, all cells stuck [0].",
)
@click.option(
    "--column-rate",
    type=_RATE,
    default=0.0,
    metavar="R",
    help="Share of bit lines, all cells stuck [0].",
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
@click.option(
    "--arrays",
    metavar="K-L,...",
    help="These arrays, those PROGRAM does not use (spare ones) included: 0-63,70.",
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
    from cimc.cli.faults_options import arrays_of, rates_of, size_of, subject_of
    from cimc.cli.output import check_output, emit_json, progress_bar
    from cimc.faults import save_fault_map
    from cimc.faults.sampling import sample_rates

    started = time.perf_counter()
    rates = rates_of(given)
    rates.check()
    _require_output(given)
    arrays = arrays_of(given["arrays"])
    seeds = range(given["seed"] or 0, (given["seed"] or 0) + (given["count"] or 1))
    check_output(given["output"], folder=given["count"] is not None)
    subject, about = subject_of(given["program"], given["target"])
    output = Path(given["output"])
    several = given["count"] is not None
    if several:
        output.mkdir(exist_ok=True)
    chips = []
    with progress_bar() as progress:
        for done, seed in enumerate(seeds):
            chip = f"{given['chip'] or 'chip'}-{seed}" if several else given["chip"]
            if several:
                progress(f"chips: {done} of {len(seeds)}", done / len(seeds))
                found = sample_rates(subject, rates, seed=seed, chip=chip, arrays=arrays)
            else:
                found = sample_rates(
                    subject, rates, seed=seed, chip=chip, arrays=arrays, progress=progress
                )
            path = output / _file_name(found.chip) if several else output
            chips.append(_line(found, path, save_fault_map(found, path)))
    result = {
        "output": str(output), "target": found.target, **size_of(found),
        "expected_rate": rates.expected, "chips": chips,
        "seconds": time.perf_counter() - started,
    }  # fmt: skip
    _show_sample(result, about)
    if as_json:
        emit_json(result)


def _require_output(given: dict[str, Any]) -> None:
    """Refuse a file that could not be written, before anything is drawn.

    Raises:
        UsageError: CIMC-U06.
    """
    from cimc.errors import UsageError

    path = Path(given["output"])
    kind = ".safetensors" if given["count"] is not None else path.suffix.lower()
    if kind not in (".safetensors", ".csv"):
        hint = f"{path.stem}.safetensors, {path.stem}.csv; or a folder with --count"
        raise UsageError("CIMC-U06", f"{path.name!r} is no fault map that cimc writes", hint=hint)
    if kind == ".csv" and (given["sigma_lrs"] or given["sigma_hrs"]):
        raise UsageError(
            "CIMC-U06",
            "a CSV file cannot hold the factors of cells",
            hint=f"{path.stem}.safetensors",
        )


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


def _show_sample(result: dict[str, Any], about: str) -> None:
    from cimc.cli.output import facts, percent

    chips = result["chips"]
    rates = [c["rate"] for c in chips if c["rate"] is not None]
    drawn = f"{percent(min(rates))} .. {percent(max(rates))}" if rates else "-"
    facts(
        f"wrote {result['output']}",
        [
            ("chips", f"{len(chips)}: {chips[0]['chip']}" + (" ..." if len(chips) > 1 else "")),
            ("arrays", f"{result['arrays']:,}, of {about}"),
            ("faulty cells", f"{sum(c['faulty_cells'] for c in chips):,}"),
            ("rate drawn", percent(rates[0]) if len(rates) == 1 else drawn),
            ("rate expected", percent(result["expected_rate"])),
            ("time", f"{result['seconds']:.1f} s"),
        ],
    )

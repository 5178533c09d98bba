"""``cimc recompile``: from a program to the program for one chip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cimc.cli.options import json_option, seed_option
from cimc.cli.training import going_on, is_first, show_training

if TYPE_CHECKING:
    from cimc.pipeline.recompile_report import RecompileReport

#: Layers shown; the JSON object has all.
_SHOWN = 30


@click.command("recompile")
@click.argument("program")
@click.option("--fault-map", required=True, metavar="F", help="Faults of the chip.")
@click.option(
    "-o", "--output", metavar="OUT.cim", help="Device program to write [PROGRAM.CHIP.cim]."
)
@click.option(
    "--data", metavar="X.npz", help="Calibration inputs in place of those in the program."
)
@click.option(
    "--method",
    type=click.Choice(["nearest", "feedback"]),
    help="nearest: the reachable value nearest to each weight; feedback: everything there is "
    "[feedback where there are calibration inputs].",
)
@click.option(
    "--cells",
    type=click.Choice(["codebook", "states", "analog"]),
    help="What healthy cells may hold: levels of the codebook, any state of their table, any "
    "conductance [states].",
)
@click.option(
    "--skip",
    metavar="NAME,...",
    help="Leave out: arrays, rows, columns, polarity, feedback, descent, retarget, gain, bias.",
)
@click.option(
    "--healthy",
    is_flag=True,
    help="Make layers without faults anew too: on a chip with few faults that gains most.",
)
@click.option(
    "--train-data",
    metavar="X.npz",
    help="Train for the chip on these samples, with 'labels' or by distillation.",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), metavar="N", help="Passes over the training data [3]."
)
@click.option("--recipe", metavar="R.yaml", help="Settings of training: its section 'training'.")
@click.option("--resume", is_flag=True, help="Go on with a training that was interrupted.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    help="Checkpoints of training, kept [OUT.cim.training, removed at the end].",
)
@click.option("--training-device", metavar="DEVICE", help="torch device that trains [cpu].")
@seed_option
@json_option
def recompile_command(as_json: bool, **given: Any) -> None:
    """Make PROGRAM for the chip with these faults; nothing but the program is needed."""
    from cimc.cli.output import check_output, emit_json, progress_bar
    from cimc.faults import load_fault_map

    if given["output"] is not None:
        check_output(given["output"], folder=True)
    from cimc.pipeline.recompile import recompile
    from cimc.remap.settings import RemapSettings

    fault_map = load_fault_map(given["fault_map"])
    output = given["output"] or default_output(given["program"], fault_map.chip)
    check_output(output, folder=True)
    chosen = {name: given[name] for name in ("cells", "seed") if given[name] is not None}
    skip = tuple(s.strip() for s in (given["skip"] or "").split(",") if s.strip())
    settings = RemapSettings(**chosen, healthy=given["healthy"])
    with (
        going_on(given["train_data"], given["checkpoint"] or f"{output}.training"),
        progress_bar() as progress,
    ):
        result = recompile(
            given["program"],
            fault_map,
            output=output,
            method=given["method"],
            data=given["data"],
            settings=settings,
            skip=skip,
            train_data=given["train_data"],
            recipe=given["recipe"],
            training=None if given["epochs"] is None else {"epochs": given["epochs"]},
            training_device=given["training_device"] or "cpu",
            resume=given["resume"],
            checkpoint=given["checkpoint"],
            progress=progress,
        )
    if not is_first():
        return
    show(result.report)
    if as_json:
        emit_json(result.report.to_json())


def default_output(program: str, chip: str) -> str:
    """Return where a program for a chip is written: beside, by the name of both."""
    path = Path(program)
    return str(path.with_name(f"{path.name.removesuffix('.cim')}.{chip}.cim"))


def show(report: RecompileReport) -> None:
    """Print the closing summary."""
    from cimc.cli.output import facts, table, warn

    rows = [
        [
            layer.layer,
            f"{layer.cells:,}",
            f"{layer.affected_weights:,}",
            f"{layer.remapped_weights:,}",
            f"{layer.unreachable_weights:,}",
            error(layer.output_error_before),
            error(layer.output_error_after),
        ]
        for layer in report.layers
    ]
    columns = ["layer", "cells", "affected", "remapped", "unreachable", "error before", "after"]
    more = len(rows) - _SHOWN
    title = f"layers{f', {more} more with --json' if more > 0 else ''}"
    table(title, columns, rows[:_SHOWN])
    share = report.faulty_cells / report.cells if report.cells else 0.0
    facts(
        f"recompiled {report.program} for chip {report.chip}",
        [
            ("method", report.method),
            ("faulty cells", f"{report.faulty_cells:,} of {report.cells:,} ({share:.2%})"),
            (
                "weights",
                f"{report.affected_weights:,} affected, {report.remapped_weights:,} remapped, "
                f"{report.unreachable_weights:,} cannot hold their level",
            ),
            (
                "output error",
                f"{error(report.output_error_before)} with the faults ignored, "
                f"{error(report.output_error_after)} now",
            ),
            ("time, memory", f"{report.seconds:.1f} s, {report.peak_rss_mib:,.0f} MiB"),
            ("next", f"cimc verify {report.program} --reference MODEL --data X.npz"),
        ],
    )
    if report.training is not None:
        show_training(report.training)
    warn(report.warnings)


def error(value: float | None) -> str:
    """Return a share of the outputs' energy as a percentage."""
    return "-" if value is None else f"{100 * value:.2g} %"

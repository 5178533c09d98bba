"""``cimc inspect``: what is in a device program."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cimc.cli.options import json_option

if TYPE_CHECKING:
    from cimc.program.arrays import Placement
    from cimc.program.inspection import ArraySummary, LayerSummary, Summary
    from cimc.program.model import DeviceProgram


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
    from cimc.cli.output import check_output
    from cimc.errors import UsageError

    if layer is not None and array is not None:
        raise UsageError(
            "CIMC-U06", "both --layer and --array are given", hint="one of them, or none"
        )
    if output is not None and array is None:
        raise UsageError("CIMC-U06", "--output goes with --array", hint="--array 0 -o G.csv")
    if output is not None:
        check_output(output)
    from cimc.program import read

    opened = read(program)
    if layer is not None:
        shown = _layer(opened, layer)
    elif array is not None:
        shown = _array(opened, array, output)
    else:
        shown = _program(opened, program)
    if as_json:
        from cimc.cli.output import emit_json

        emit_json(shown)


def _program(program: DeviceProgram, name: str) -> dict[str, Any]:
    """Show the whole program; return it as plain data."""
    from cimc.cli.output import table, warn
    from cimc.program import inspection

    short, layers = inspection.summary(program), inspection.layers(program)
    _facts_of(short, name)
    rows = [
        _texts(x.name, x.kind, _shape(x), _states(x), x.tiles, x.arrays, f"{x.utilization:.1%}")
        for x in layers
    ]
    if rows:
        columns = ["layer", "kind", "shape", "states", "tiles", "arrays", "cells used"]
        table("crossbar layers (groups x rows x columns)", columns, rows)
    warn(short.warnings)
    return {**asdict(short), "crossbar_layers": [asdict(x) for x in layers]}


def _facts_of(short: Summary, name: str) -> None:
    from cimc.cli.output import facts

    rows = "unlimited" if short.array_rows is None else short.array_rows
    columns = "unlimited" if short.array_columns is None else short.array_columns
    operators = ", ".join(f"{n} {count}" for n, count in list(short.operators.items())[:8])
    more = len(short.operators) - 8
    used = f"{short.cell_utilization:.1%} of cells used"
    facts(
        name,
        [
            ("sha256", short.sha256),
            ("target", short.target),
            ("inputs", "; ".join(short.inputs)),
            ("outputs", "; ".join(short.outputs)),
            ("operations", f"{short.operations}: {operators}" + (f", {more} more" * (more > 0))),
            ("weights on crossbars", f"{short.weights:,} in {short.layers} layers"),
            ("digital constants", f"{short.digital_constants:,}"),
            ("arrays", f"{short.arrays:,} of {rows} x {columns}, {used}"),
            ("golden samples", "none" if short.golden is None else str(short.golden)),
            ("calibration samples", _kept(short)),
            ("fault map of chip", _chip(short)),
            *_moved(short),
        ],
    )


def _chip(short: Summary) -> str:
    if short.chip is None:
        return "none"
    known = f", devices of {_counted(short.measured_arrays, 'array')} measured"
    return f"{short.chip}, {_counted(short.faulty_cells, 'cell')} in use faulty" + (
        known if short.measured_arrays else ""
    )


def _moved(short: Summary) -> list[tuple[str, str]]:
    if not short.mapped_layers:
        return []
    return [("lines out of order", f"in {_counted(short.mapped_layers, 'layer')}")]


def _counted(number: int | None, noun: str) -> str:
    return f"{number or 0:,} {noun}{'' if number == 1 else 's'}"


def _kept(short: Summary) -> str:
    return "none" if short.calibration is None else f"{short.calibration} (user data)"


def _layer(program: DeviceProgram, name: str) -> dict[str, Any]:
    """Show one layer; return it as plain data."""
    from cimc.cli.output import facts, table
    from cimc.program import inspection

    wanted = inspection.layer(program, name).name
    x = next(x for x in inspection.layers(program) if x.name == wanted)
    facts(
        f"layer {x.name}",
        [
            ("parameter", x.source),
            ("groups x rows x columns", _shape(x)),
            ("kind, kernel", f"{x.kind} {'x'.join(map(str, x.kernel))}".strip()),
            ("encoding, states", f"{x.encoding}, {_states(x)}"),
            *([("slices", str(x.slices))] if x.slices else []),
            ("weight units per uS", _range(x.gain)),
            *(
                [("columns with G+ and G- changed", f"{x.negative_gains:,}")]
                * (x.negative_gains > 0)
            ),
            ("tiles", _tiles(x)),
            ("cells", f"{x.cells:,}, {x.utilization:.1%} of {_those(x.arrays)}"),
            *([] if x.faulty_cells is None else [("faulty cells", f"{x.faulty_cells:,}")]),
            *_maps(x),
            *([("groups", "one after the other")] if x.one_by_one else []),
        ],
    )
    rows = [
        _texts(
            u.operation,
            _dac(u.dac_bits, u.dac_signed, u.dac_policy, u.x_max),
            _adc(u.adc_bits, u.adc_range_us),
        )
        for u in x.uses
    ]
    table("read by", ["operation", "DAC", "ADC"], rows)
    _clipping(x)
    return asdict(x)


def _tiles(x: LayerSummary) -> str:
    parts = _counted(x.row_tiles, "row tile"), _counted(x.arrays, "array")
    return f"{x.tiles:,} in {parts[0]} on {parts[1]}"


def _those(arrays: int) -> str:
    return "that array" if arrays == 1 else "those arrays"


def _maps(x: LayerSummary) -> list[tuple[str, str]]:
    """Say what does not lie in order."""
    there = {"rows": x.word_line_map, "columns": x.bit_line_map}
    moved = " and ".join(what for what, mapped in there.items() if mapped)
    return [("lines out of order", f"of {moved}")] if moved else []


def _clipping(x: LayerSummary) -> None:
    """Print how converter ranges were found, and what they clip of the calibration data."""
    from cimc.cli.output import decibels, share, table

    rows = [
        _texts(
            u.operation,
            u.fitted.input_method or "none",
            u.fitted.adc_method or "none",
            share(u.fitted.inputs_clipped),
            share(u.fitted.conversions_clipped),
            decibels(u.fitted.snr_db),
        )
        for u in x.uses
        if u.fitted is not None
    ]
    if rows:
        columns = ["operation", "DAC range", "ADC range", "inputs clipped"]
        table("converter ranges", [*columns, "conversions clipped", "SNR"], rows)


def _array(program: DeviceProgram, number: int, output: str | None) -> dict[str, Any]:
    """Show one array, and write its conductances when asked to; return it as plain data."""
    from cimc.cli.output import facts, table
    from cimc.program import inspection

    x: ArraySummary = inspection.array(program, number)
    if output is not None:
        inspection.write_csv(program, number, output)
    facts(
        f"array {x.array}",
        [
            ("rows x columns", f"{x.rows} x {x.columns}"),
            ("cells used", f"{x.cells_used:,} of {x.rows * x.columns:,}"),
            ("conductances", f"{_range((x.g_low_us, x.g_high_us))} uS"),
            *([("written to", output)] if output is not None else []),
        ],
    )
    rows = [
        _texts(
            t.layer,
            t.tile,
            f"{t.row}+{t.rows}",
            f"{t.column}+{t.columns}",
            _place(t),
        )
        for t in x.tiles
    ]
    table("tiles", ["layer", "tile", "weight rows", "weight columns", "at row, column"], rows)
    return {**asdict(x), "output": output}


def _place(t: Placement) -> str:
    """Say where a tile begins, or between which lines its lines are."""
    row = t.array_row if t.word_lines is None else _between(t.word_lines)
    column = t.array_column if t.bit_lines is None else _between(t.bit_lines)
    return f"{row}, {column}"


def _between(lines: tuple[int, ...]) -> str:
    return f"{min(lines)}..{max(lines)}"


def _texts(*cells: object) -> list[str]:
    return [str(c) for c in cells]


def _shape(x: LayerSummary) -> str:
    return "x".join(map(str, x.shape))


def _states(x: LayerSummary) -> str:
    return "analog" if x.states is None else str(x.states)


def _range(pair: tuple[float, float]) -> str:
    low, high = pair
    return f"{low:.4g}" if low == high else f"{low:.4g} .. {high:.4g}"


def _dac(bits: int | None, signed: bool, policy: str, x_max: float | None) -> str:
    if bits is None:
        return "none"
    full = policy if x_max is None else f"full scale {x_max:.4g}"
    return f"{bits} bit {'signed' if signed else 'unsigned'}, {full}"


def _adc(bits: int | None, range_us: tuple[float, float] | None) -> str:
    if bits is None:
        return "none"
    return f"{bits} bit" + ("" if range_us is None else f", {_range(range_us)} uS")

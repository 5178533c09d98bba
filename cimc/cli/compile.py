"""``cimc compile``: from a model to a device program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cimc.cli.options import json_option, seed_option
from cimc.cli.training import going_on, is_first, show_training

if TYPE_CHECKING:
    from cimc.errors import UsageError
    from cimc.pipeline import CompileReport

#: Layers listed with their clipping.
_WORST = 5


@click.command("compile")
@click.argument("model")
@click.option(
    "--target", required=True, metavar="T", help="Target: a YAML file or a shipped name."
)
@click.option("-o", "--output", metavar="OUT.cim", help="Device program to write [MODEL.cim].")
@click.option(
    "--quantizer",
    type=click.Choice(["lloyd", "n-multiplier", "uniform"]),
    help="How weight levels are chosen [lloyd; for bit-sliced cells n-multiplier].",
)
@click.option(
    "--levels", type=click.IntRange(2, 256), metavar="V", help="Weight levels [the target's]."
)
@click.option("--bits", type=click.IntRange(1, 8), metavar="N", help="The same as --levels 2**N.")
@click.option(
    "--per-column/--per-layer",
    default=None,
    help="Own levels for every output column, or one codebook a layer.  [default: per column "
    "where a cell takes any conductance]",
)
@click.option(
    "--converter-ranges",
    type=click.Choice(["max", "percentile", "mse", "search"]),
    help="How DAC and ADC ranges are found from data: largest value, percentile, least error of "
    "a conversion, or of the layer's output [search].",
)
@click.option(
    "--percentile",
    type=click.FloatRange(0, 100, min_open=True),
    metavar="P",
    help="Values within range with --converter-ranges percentile [99.99].",
)
@click.option("--data", metavar="X.npz", help="Calibration samples, one array per input.")
@click.option(
    "--train-data",
    metavar="X.npz",
    help="Fine-tune for the device on these samples, with 'labels' or by distillation.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Passes over the training data [3]; other settings: section 'training' of a recipe.",
)
@click.option("--resume", is_flag=True, help="Go on with a training that was interrupted.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    help="Checkpoints of training, kept [OUT.cim.training, removed at the end].",
)
@click.option(
    "--training-device",
    metavar="DEVICE",
    help="torch device that trains [cpu].",
)
@click.option(
    "--save-weights",
    metavar="FILE",
    help="Write the trained float weights by their names in MODEL: .safetensors, or .onnx.",
)
@click.option("--fault-map", metavar="F", help="Compile for the one chip with these faults.")
@click.option("--recipe", metavar="R.yaml", help="Options from a file; the command line wins.")
@click.option(
    "--digital", multiple=True, metavar="PATTERN", help="Keep layers digital, by name; repeatable."
)
@click.option(
    "--analog", multiple=True, metavar="PATTERN", help="Put layers on crossbars; repeatable."
)
@seed_option
@click.option(
    "--no-keep-calibration",
    is_flag=True,
    help="Do not store calibration samples (user data) in the program.",
)
@click.option("--trust-input", is_flag=True, help="Accept inputs that run code when read (.pt2).")
@click.option(
    "--dump-passes", metavar="DIR", help="Write the network's text form after each pass."
)
@click.option(
    "--check", is_flag=True, help="Compare every pass with onnxruntime; print SNR per layer."
)
@json_option
def compile_command(as_json: bool, **given: Any) -> None:
    """Compile MODEL (an ONNX file) to a device program for a target."""
    if given["levels"] is not None and given["bits"] is not None:
        raise _contradiction(
            "both --levels and --bits are given",
            f"--levels {given['levels']} or --bits {given['bits']}",
        )
    converters = _converters(given["converter_ranges"], given["percentile"], given["data"])
    from cimc.cli.output import check_output, emit_json, progress_bar

    output = given["output"] or f"{Path(given['model']).stem or 'model'}.cim"
    check_output(output, folder=True)
    from cimc.pipeline import compile_model

    with (
        going_on(given["train_data"], given["checkpoint"] or f"{output}.training"),
        progress_bar() as progress,
    ):
        result = compile_model(
            given["model"],
            target=given["target"],
            output=output,
            quantizer=given["quantizer"],
            levels=2 ** given["bits"] if given["bits"] is not None else given["levels"],
            per_column=given["per_column"],
            data=given["data"],
            recipe=given["recipe"],
            digital=given["digital"],
            analog=given["analog"],
            seed=given["seed"],
            converters=converters,
            keep_calibration=not given["no_keep_calibration"],
            trust_input=given["trust_input"],
            dump_passes=given["dump_passes"],
            check=given["check"],
            train_data=given["train_data"],
            training=None if given["epochs"] is None else {"epochs": given["epochs"]},
            training_device=given["training_device"] or "cpu",
            resume=given["resume"],
            checkpoint=given["checkpoint"],
            save_weights=given["save_weights"],
            fault_map=given["fault_map"],
            progress=progress,
        )
    if not is_first():
        return
    _show(result.report, given["check"])
    if as_json:
        from dataclasses import asdict

        emit_json(asdict(result.report))


def _converters(
    method: str | None, percentile: float | None, data: str | None
) -> dict[str, Any] | None:
    """Return the options of the pass that sets converter ranges; None: those of the recipe.

    Raises:
        UsageError: CIMC-U06, a percentile for a method that has none, or no data to find ranges
            from.
    """
    if method is None and percentile is None:
        return None
    option = "--percentile" if method is None else "--converter-ranges"
    if data is None:
        raise _contradiction(f"{option} is given without --data", "--data X.npz")
    if percentile is not None and method not in (None, "percentile"):
        raise _contradiction(
            f"--percentile is given with --converter-ranges {method}",
            "--converter-ranges percentile",
        )
    method = method or "percentile"
    options: dict[str, Any] = {"input_method": method, "adc_method": method}
    if percentile is not None:
        options["percentile"] = percentile
    return options


def _contradiction(message: str, hint: str) -> UsageError:
    from cimc.errors import UsageError

    return UsageError("CIMC-U06", message, hint=hint)


def _show(report: CompileReport, checked: bool) -> None:
    """Print the closing summary."""
    from cimc.cli.output import decibels, facts, warn

    size = f"{report.array_rows or 'unlimited'} x {report.array_columns or 'unlimited'}"
    facts(
        f"compiled {report.program}",
        [
            ("layers", f"{report.analog_layers} analog of {report.layers}"),
            ("weights", f"{report.analog_weights:,} analog of {report.weights:,}"),
            (
                "arrays",
                f"{report.arrays:,} of {size}, {report.cell_utilization:.1%} of cells used",
            ),
            ("digital operations", f"{report.digital_ops}, {report.opaque_ops} by onnxruntime"),
            ("against onnxruntime", f"{decibels(report.snr_db)} noise-free"),
            *_ranges(report),
            ("time, memory", f"{report.seconds:.1f} s, {report.peak_rss_mib:,.0f} MiB"),
        ],
    )
    if report.training is not None:
        show_training(report.training)
    _show_converters(report)
    if checked:
        _show_passes(report)
    warn(report.warnings)


def _ranges(report: CompileReport) -> list[tuple[str, str]]:
    """Say how converter ranges were found, where there are converters."""
    if not report.converters:
        return []
    pairs = {(c.input_method, c.adc_method) for c in report.converters}
    said = sorted(_methods(dac, adc) for dac, adc in pairs)
    known = any(c.inputs_clipped is not None for c in report.converters)
    note = "" if known else " (no data: what they clip is not known)"
    return [("converter ranges", "; ".join(said) + note)]


def _methods(dac: str | None, adc: str | None) -> str:
    """Name the methods of both converters, or of the one there is."""
    if dac == adc:
        return str(dac)
    parts = (("DAC", dac), ("ADC", adc))
    return ", ".join(f"{name} {method}" for name, method in parts if method is not None)


def _show_converters(report: CompileReport) -> None:
    """Print what converters clip, in the layers they cost most."""
    from cimc.cli.output import decibels, share, table

    found = [c for c in report.converters if c.snr_db is not None]
    worst = sorted(found, key=lambda c: c.snr_db or 0.0)[:_WORST]
    rows = [
        [c.layer, share(c.inputs_clipped), share(c.conversions_clipped), decibels(c.snr_db)]
        for c in worst
    ]
    if rows:
        columns = ["layer", "inputs clipped", "conversions clipped", "SNR"]
        table("layers that converters cost most", columns, rows)


def _show_passes(report: CompileReport) -> None:
    """Print signal-to-noise against onnxruntime after every pass, and per layer after the last."""
    from cimc.cli.output import decibels, table

    rows = [[p.name, f"{p.seconds:.2f} s", decibels(p.snr_db)] for p in report.passes]
    table("passes, outputs against onnxruntime", ["pass", "time", "SNR"], rows)
    last = report.passes[-1].layers_snr_db if report.passes else {}
    if last:
        rows = [[name, decibels(value)] for name, value in last.items()]
        table("layers after the last pass", ["layer", "SNR"], rows)

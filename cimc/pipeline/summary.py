"""Count what a compilation made."""

from __future__ import annotations

from pathlib import Path

from cimc.ir.network import Network
from cimc.ops.table import OPERATORS
from cimc.pipeline.report import (
    CompileReport,
    ConverterReport,
    PassReport,
    peak_rss_mib,
)
from cimc.program.model import DeviceProgram, Operation, ProgramUse
from cimc.program.utilization import cell_utilization


def summarize(
    program: DeviceProgram,
    network: Network,
    *,
    output: str | Path | None,
    seconds: float,
    import_error: float | None,
    snr_db: float | None,
    passes: tuple[PassReport, ...],
) -> CompileReport:
    """Return the report of a compilation."""
    array = program.target["array"]
    analog = sum(g * r * c for g, r, c in (x.geometry.shape for x in program.layers.values()))
    digital = [_digital_weights(o, program) for o in program.operations]
    return CompileReport(
        program=None if output is None else str(output),
        sha256=program.sha256 or None,
        layers=len(program.layers) + sum(1 for w in digital if w),
        analog_layers=len(program.layers),
        digital_ops=sum(1 for o in program.operations if not _reads_layer(o)),
        opaque_ops=sum(1 for o in program.operations if o.op == "opaque"),
        weights=analog + sum(digital),
        analog_weights=analog,
        arrays=program.arrays,
        array_rows=array["rows"],
        array_columns=array["columns"],
        cell_utilization=cell_utilization(program),
        seconds=seconds,
        peak_rss_mib=peak_rss_mib(),
        warnings=network.warnings,
        import_error=import_error,
        snr_db=snr_db,
        passes=passes,
        converters=tuple(
            _converters(layer.name, use)
            for layer in program.layers.values()
            for use in layer.uses
            if use.fitted is not None
        ),
    )


def _converters(layer: str, use: ProgramUse) -> ConverterReport:
    ranges, fitted = use.adc.i_max_us, use.fitted
    assert fitted is not None
    return ConverterReport(
        layer=layer,
        operation=use.operation,
        input_method=fitted.input_method,
        adc_method=fitted.adc_method,
        x_max=use.dac.x_max,
        adc_range_us=None if ranges is None else (float(ranges.min()), float(ranges.max())),
        inputs_clipped=fitted.inputs_clipped,
        conversions_clipped=fitted.conversions_clipped,
        snr_db=fitted.snr_db,
    )


def _reads_layer(operation: Operation) -> bool:
    return any(i is not None and i.startswith("#") for i in operation.inputs)


def _digital_weights(operation: Operation, program: DeviceProgram) -> int:
    """Return the weights an operation holds as constants where weights are expected."""
    positions = OPERATORS[operation.op].weights
    held = (operation.inputs[p] for p in positions if p < len(operation.inputs))
    return sum(program.constants[i[1:]].numel() for i in held if i and i.startswith("@"))

"""What recompiling a program for a chip tells the user."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cimc.pipeline.report import TrainingReport, peak_rss_mib
from cimc.program.model import DeviceProgram
from cimc.remap.report import LayerReport, RemapResult, total_error


@dataclass(frozen=True, slots=True)
class RecompileReport:
    """The JSON keys of ``cimc recompile``.

    Attributes:
        program: Where it was written; None when it was not.
        sha256: Of the program; None when it was not written.
        chip: Id of the chip.
        method: ``nearest`` or ``feedback``.
        cells: Cells that hold weights [-].
        faulty_cells: Of these, stuck ones [-].
        affected_weights: Weights with a faulty cell [-].
        remapped_weights: Weights that hold another value than without the chip's faults [-].
        unreachable_weights: Weights whose value without faults their cells cannot reach [-].
        output_error_before: Error of the layers' outputs with the faults ignored, as a share of
            their energy, mean over layers; None without calibration data.
        output_error_after: The same of the program.
        seconds: Wall-clock time [s].
        peak_rss_mib: Largest resident set of the process so far [MiB].
        warnings: What the user should know.
        layers: Layer by layer, see :class:`cimc.remap.report.LayerReport`.
        training: What training for the chip did; None where it was not trained.
    """

    program: str | None
    sha256: str | None
    chip: str
    method: str
    cells: int
    faulty_cells: int
    affected_weights: int
    remapped_weights: int
    unreachable_weights: int
    output_error_before: float | None
    output_error_after: float | None
    seconds: float
    peak_rss_mib: float
    warnings: tuple[str, ...]
    layers: tuple[LayerReport, ...]
    training: TrainingReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RecompileResult:
    """A program for one chip, and what there is to say of its making.

    Attributes:
        program: The program.
        report: What there is to say.
    """

    program: DeviceProgram
    report: RecompileReport


def report_of(
    program: DeviceProgram,
    done: RemapResult,
    method: str,
    output: str | Path | None,
    warnings: tuple[str, ...],
) -> RecompileReport:
    """Return the report of a program, but for chip, time and training."""
    layers = done.layers
    return RecompileReport(
        program=None if output is None else str(output),
        sha256=program.sha256 or None,
        chip="",
        method=method,
        cells=sum(layer.cells for layer in layers),
        faulty_cells=sum(layer.faulty_cells for layer in layers),
        affected_weights=sum(layer.affected_weights for layer in layers),
        remapped_weights=sum(layer.remapped_weights for layer in layers),
        unreachable_weights=sum(layer.unreachable_weights for layer in layers),
        output_error_before=total_error(layers, before=True),
        output_error_after=total_error(layers, before=False),
        seconds=0.0,
        peak_rss_mib=peak_rss_mib(),
        warnings=warnings,
        layers=layers,
    )

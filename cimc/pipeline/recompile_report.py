"""What recompiling a program for a chip tells the user."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cimc.pipeline.report import TrainingReport
from cimc.program.model import DeviceProgram
from cimc.remap.report import LayerReport


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

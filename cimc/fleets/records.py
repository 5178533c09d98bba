"""What is known of one chip of a fleet: a row of the table of results."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Literal

Status = Literal["done", "failed"]


@dataclass(frozen=True, slots=True)
class Record:
    """One chip that was worked on.

    Attributes:
        chip: Its id.
        fault_map: Name of the file in the directory of fault maps.
        status: ``done``: its program was made; ``failed``: it was not, and why stands below.
        program: Name of the program in the output directory; None: not made, or not kept.
        program_sha256: Digest of the program, kept or not.
        fault_map_sha256: Digest of the file.
        fault_map_bytes: Its size when the chip was worked on [bytes].
        fault_map_mtime_ns: When it was changed last [ns].
        error_code: Of the failure.
        error_message: Of the failure.
        fault_rate: Faulty cells of the chip, as a share of the arrays its map describes [-].
        cells: Cells the program uses; it may go around faults by using others [-].
        faulty_cells: Faulty ones among them [-].
        affected_weights: Weights with a faulty cell [-].
        remapped_weights: Weights whose cells hold something else than they would without faults.
        unreachable_weights: Weights whose cells reach nothing near them [-].
        output_error_before: Relative error of the crossbars' outputs with the faults ignored [-].
        output_error_after: The same of the program made [-].
        metric: What ``accuracy`` is: ``top1``, ``agreement`` or ``snr_db``.
        accuracy: Mean over the runs of this chip, in [0, 1]; dB with ``snr_db``.
        accuracy_min: The worst of them.
        agreement: Share of decisions equal to the baseline's.
        snr_db: Signal-to-noise of the outputs against the baseline [dB].
        seconds: Compiling and measuring [s].
        verify_seconds: Measuring alone [s].
        peak_rss_mib: Most memory the worker held meanwhile [MiB].
        pss_mib: Its share of physical memory afterwards, shared pages divided [MiB].
        attempts: Workers it took: more than one when some were killed [-].
        worker: Host and process.
        cimc_version: Of the worker.
        settings_sha256: Digest of the settings.
        finished: When, UTC, ISO 8601.
    """

    chip: str
    fault_map: str
    status: Status
    program: str | None = None
    program_sha256: str | None = None
    fault_map_sha256: str | None = None
    fault_map_bytes: int | None = None
    fault_map_mtime_ns: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    fault_rate: float | None = None
    cells: int | None = None
    faulty_cells: int | None = None
    affected_weights: int | None = None
    remapped_weights: int | None = None
    unreachable_weights: int | None = None
    output_error_before: float | None = None
    output_error_after: float | None = None
    metric: str | None = None
    accuracy: float | None = None
    accuracy_min: float | None = None
    agreement: float | None = None
    snr_db: float | None = None
    seconds: float | None = None
    verify_seconds: float | None = None
    peak_rss_mib: float | None = None
    pss_mib: float | None = None
    attempts: int = 1
    worker: str | None = None
    cimc_version: str | None = None
    settings_sha256: str | None = None
    finished: str | None = None

    @property
    def done(self) -> bool:
        """Whether its program was made."""
        return self.status == "done"

    def passes(self, least: float | None) -> bool:
        """Whether a program was made and, where asked, reaches an accuracy."""
        if not self.done or least is None:
            return self.done
        return self.accuracy is not None and self.accuracy >= least


def _kind(declared: Any) -> str:
    text = str(declared)
    return "INTEGER" if "int" in text else "REAL" if "float" in text else "TEXT"


#: Columns of the table, with their SQLite types.
COLUMNS: Final = {field.name: _kind(field.type) for field in fields(Record)}

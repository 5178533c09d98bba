"""What a fleet has come to."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cimc.fleets import store
from cimc.fleets.directory import PICTURE
from cimc.fleets.records import COLUMNS, Record
from cimc.pipeline.sensitivity_store import replace_file

#: Losses against the program without faults that yields are given for [-].
LOSSES: Final = (0.005, 0.01, 0.02, 0.05)
#: Worst chips that are named.
_WORST: Final = 10


@dataclass(frozen=True, slots=True)
class Yield:
    """The share of chips that reach an accuracy; failed ones do not.

    Attributes:
        accuracy: In [0, 1]; dB where the metric is ``snr_db``.
        share: In [0, 1].
    """

    accuracy: float
    share: float


@dataclass(frozen=True, slots=True)
class FleetReport:
    """A fleet: counts, accuracies, the worst chips, and those that failed.

    Attributes:
        program: Path of the program without faults.
        program_sha256: Its digest.
        settings: What was done with every chip; files by their digests.
        output: The directory of the results.
        results: The SQLite file.
        picture: The picture of the yield.
        chips: Chips in the results [-].
        done: Programs made [-].
        failed: Chips that could not be compiled [-].
        before: Chips that were done before this call [-].
        metric: ``top1``, ``agreement`` or ``snr_db``; None: accuracy was not measured.
        baseline: What decisions are compared with: ``float`` or ``fault-free``.
        samples: Samples every chip was run on [-].
        reference: Figure of the float network.
        fault_free: Figure of the program without faults, in the same mode.
        mean: Of the chips' figures.
        std: Of the chips' figures.
        min: Of the chips' figures.
        median: Of the chips' figures.
        max: Of the chips' figures.
        min_accuracy: What a chip must reach to pass.
        min_yield: Share of chips that must pass.
        passing: Chips that pass [-].
        share: Of the chips that pass, in [0, 1].
        yields: At ``min_accuracy`` and at some losses against ``fault_free``.
        worst: Chips with the least accuracy, or with the largest error of the outputs.
        failures: Chips that failed, and why.
        chip_seconds: Mean time of a chip [s].
        peak_rss_mib: Most memory a worker held [MiB].
        seconds: This call; None: nothing was worked on [s].
        passed: Whether the share of passing chips reaches ``min_yield``.
    """

    program: str
    program_sha256: str
    settings: Mapping[str, Any]
    output: str
    results: str
    picture: str
    chips: int
    done: int
    failed: int
    before: int
    metric: str | None
    baseline: str | None
    samples: int | None
    reference: float | None
    fault_free: float | None
    mean: float | None
    std: float | None
    min: float | None
    median: float | None
    max: float | None
    min_accuracy: float | None
    min_yield: float
    passing: int
    share: float
    yields: tuple[Yield, ...]
    worst: tuple[Mapping[str, Any], ...]
    failures: tuple[Mapping[str, Any], ...]
    chip_seconds: float | None
    peak_rss_mib: float | None
    seconds: float | None
    passed: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return asdict(self)


def make_report(
    output: Path,
    facts: Mapping[str, Any],
    records: Sequence[Record],
    min_accuracy: float | None,
    min_yield: float | None,
) -> FleetReport:
    """Return the report of a fleet.

    Args:
        output: The directory of the results.
        facts: Of the whole fleet.
        records: One a chip.
        min_accuracy: What a chip must reach; None: as when it was made.
        min_yield: Share of chips that must; None: as when it was made.
    """
    least = facts.get("min_accuracy") if min_accuracy is None else min_accuracy
    wanted = facts.get("min_yield", 1.0) if min_yield is None else min_yield
    done = [r for r in records if r.done]
    passing = sum(r.passes(least) for r in records)
    share = passing / len(records) if records else 0.0
    standard: Mapping[str, Any] = facts.get("standard") or {}
    seconds = [r.seconds for r in records if r.seconds is not None]
    return FleetReport(
        program=facts["program"],
        program_sha256=facts["program_sha256"],
        settings=facts["settings"],
        output=str(output),
        results=str(output / store.NAME),
        picture=str(output / PICTURE),
        chips=len(records),
        done=len(done),
        failed=len(records) - len(done),
        before=len(done),
        metric=standard.get("metric"),
        baseline=standard.get("baseline"),
        samples=standard.get("samples"),
        reference=standard.get("reference"),
        fault_free=standard.get("fault_free"),
        **_spread([r.accuracy for r in done if r.accuracy is not None]),
        min_accuracy=least,
        min_yield=wanted,
        passing=passing,
        share=share,
        yields=_yields(records, standard, least),
        worst=tuple(map(_named, _worst(done))),
        failures=tuple(map(_failure, (r for r in records if not r.done))),
        chip_seconds=sum(seconds) / len(seconds) if seconds else None,
        peak_rss_mib=max((r.peak_rss_mib for r in records if r.peak_rss_mib), default=None),
        seconds=None,
        passed=share >= wanted,
    )


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return dict.fromkeys(("mean", "std", "min", "median", "max"))
    array = np.asarray(values, np.float64)
    return {
        "mean": float(array.mean()),
        "std": float(array.std(ddof=1)) if len(values) > 1 else None,
        "min": float(array.min()),
        "median": float(np.median(array)),
        "max": float(array.max()),
    }


def _yields(
    records: Sequence[Record], standard: Mapping[str, Any], least: float | None
) -> tuple[Yield, ...]:
    if not standard or not records:
        return ()
    wanted = set() if least is None else {least}
    if standard["metric"] != "snr_db":
        wanted |= {max(0.0, standard["fault_free"] - loss) for loss in LOSSES}
    return tuple(
        Yield(accuracy, sum(r.passes(accuracy) for r in records) / len(records))
        for accuracy in sorted(wanted, reverse=True)
    )


def _worst(done: Sequence[Record]) -> list[Record]:
    """Return the worst chips first: by accuracy, without it by the error of the outputs."""
    if any(r.accuracy is not None for r in done):
        known = [r for r in done if r.accuracy is not None]
        return sorted(known, key=lambda r: (r.accuracy or 0.0, r.chip))[:_WORST]
    known = [r for r in done if r.output_error_after is not None]
    return sorted(known, key=lambda r: (-(r.output_error_after or 0.0), r.chip))[:_WORST]


def _named(record: Record) -> dict[str, Any]:
    names = ("chip", "accuracy", "fault_rate", "output_error_after", "unreachable_weights")
    return {name: getattr(record, name) for name in names}


def _failure(record: Record) -> dict[str, Any]:
    names = ("chip", "fault_map", "error_code", "error_message")
    return {name: getattr(record, name) for name in names}


def write_csv(records: Sequence[Record], path: Path) -> None:
    """Write one row a chip, all columns; the file appears complete.

    Raises:
        OSError: It cannot be written.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(list(COLUMNS))
    for record in records:
        rows.writerow([getattr(record, name) for name in COLUMNS])
    replace_file(path, text.getvalue().encode())

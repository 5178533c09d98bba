"""The picture of a fleet: accuracy of every chip, and the share above some, by fault rate."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from cimc.fleets.records import Record
from cimc.fleets.report import FleetReport, Yield
from cimc.pipeline.sensitivity_store import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = npt.NDArray[np.float64]
#: Colours that people of any colour vision tell apart: Okabe and Ito, "Color universal design"
#: (2008); each goes with its own marker.
_COLOURS: Final = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7")
_MARKERS: Final = ("o", "s", "D", "^", "v")
_GREY, _GREEN, _RED = "#555555", "#009E73", "#D55E00"
_STYLE: Final[Any] = {
    "svg.hashsalt": "cimc", "svg.fonttype": "none", "font.family": "DejaVu Sans",
    "font.size": 10.0, "axes.spines.top": False, "axes.spines.right": False,
    "axes.axisbelow": True, "legend.frameon": False,
}  # fmt: skip
#: Fewest chips whose share is drawn over the fault rate, and most groups they are put in [-].
_FEW: Final = 16
_GROUPS: Final = 12
#: More chips than this are small dots [-].
_SMALL: Final = 160
#: More chips than this are drawn as pixels: the file would be megabytes [-].
_MANY: Final = 5000
#: Of a normal distribution, for intervals of 95 %.
_Z95: Final = 1.959964

_AXES: Final = {
    "top1": "top-1 accuracy [%]",
    "agreement": "agreement [%]",
    "snr_db": "signal-to-noise [dB]",
    None: "error of the outputs [%]",
}


def write_picture(report: FleetReport, records: Sequence[Record], path: Path) -> None:
    """Write the picture as SVG with text as text; the file appears complete."""
    replace_file(path, picture(report, records))


def picture(report: FleetReport, records: Sequence[Record], kind: str = "svg") -> bytes:
    """Return the picture; the same bytes for the same figures.

    Args:
        report: Of the fleet.
        records: One a chip.
        kind: ``svg`` or ``png``.
    """
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure = _figure(report, records)
        content = io.BytesIO()
        metadata = {"Date": None, "Creator": "cimc"} if kind == "svg" else None
        figure.savefig(content, format=kind, metadata=metadata, dpi=110)
    return content.getvalue()


def _figure(report: FleetReport, records: Sequence[Record]) -> Figure:
    from matplotlib.figure import Figure

    drawn = [r for r in records if r.done and r.fault_rate is not None and _height(r) is not None]
    drawn.sort(key=lambda r: r.chip)
    rate = np.array([100 * (r.fault_rate or 0.0) for r in drawn])
    both = len(drawn) >= _FEW and bool(report.yields) and np.ptp(rate) > 0
    figure = Figure(figsize=(7.6, 6.4 if both else 4.4), layout="constrained")
    if both:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _shares(bottom, drawn, rate, report)
    else:
        top = bottom = figure.subplots()
    _chips(top, drawn, rate, report)
    bottom.set_xlabel("faulty cells of the chip [%]")
    bottom.set_xlim(left=0.0 if rate.size and rate.min() < 0.3 * rate.max() else None)
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    figure.supxlabel(_caption(report, len(drawn)), fontsize=8, color=_GREY)
    return figure


def _height(record: Record) -> float | None:
    """Return where a chip is drawn: its figure, without one the error of its outputs."""
    value = record.accuracy if record.metric is not None else record.output_error_after
    if value is None or not math.isfinite(value):
        return None
    return value if record.metric == "snr_db" else 100 * value


def _chips(axes: Axes, drawn: Sequence[Record], rate: Values, report: FleetReport) -> None:
    """Draw every chip as a dot, and as lines what they are compared with."""
    height = np.array([_height(r) or 0.0 for r in drawn])
    floor = _floor(height) if report.metric is not None else None
    below = np.zeros(len(height), np.bool_) if floor is None else height < floor
    many = len(drawn) > _SMALL
    style: Any = {
        "linestyle": "none",
        "markersize": 2.8 if many else 6.0,
        "alpha": 0.45 if many else 0.9,
        "markeredgewidth": 0,
        "rasterized": len(drawn) > _MANY,
    }
    axes.plot(rate[~below], height[~below], marker="o", color=_COLOURS[0], label="a chip", **style)
    scale = 1.0 if report.metric == "snr_db" else 100.0
    for value, label, colour, line in (
        (report.reference, "float", "black", "-"),
        (report.fault_free, "without faults", _GREEN, "--"),
        (report.min_accuracy, "wanted", _RED, ":"),
    ):
        if value is not None and math.isfinite(value):
            axes.axhline(scale * value, color=colour, ls=line, linewidth=1.4, label=label)
    if floor is not None:
        axes.set_ylim(bottom=floor)
        style |= {"markersize": 6.0, "alpha": 0.9, "clip_on": False}
        edge = np.full(int(below.sum()), floor)
        axes.plot(rate[below], edge, marker="v", color=_RED, label="a chip below", **style)
    if report.metric is None:
        axes.set_ylim(bottom=0.0)
    axes.set_ylabel(_AXES[report.metric])
    axes.grid(color="#dddddd", linewidth=0.6)


def _floor(height: Values) -> float | None:
    """Return where the axis begins when a few chips far below would press the others together."""
    if len(height) < _FEW:
        return None
    low = float(np.quantile(height, 0.03))
    high = float(height.max())
    reach = max(high - low, 0.5)
    return low - 0.3 * reach if height.min() < low - reach else None


def _shares(axes: Axes, drawn: Sequence[Record], rate: Values, report: FleetReport) -> None:
    """Draw the share of chips that reach each accuracy, by groups of the fault rate."""
    accuracy = np.array([-math.inf if r.accuracy is None else r.accuracy for r in drawn])
    groups = _grouped(rate)
    x = [float(rate[g].mean()) for g in groups]
    for i, wanted in enumerate(report.yields[: len(_COLOURS)]):
        shares = [_share(accuracy[g] >= wanted.accuracy) for g in groups]
        low, middle, high = (np.array(part) for part in zip(*shares, strict=True))
        colour, marker = _COLOURS[i], _MARKERS[i]
        axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(
            x, middle, color=colour, marker=marker, markersize=4.5, label=_called(wanted, report)
        )
    axes.set_ylim(-3, 103)
    axes.set_ylabel("chips that reach it [%]")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="at least", fontsize=9)


def _called(wanted: Yield, report: FleetReport) -> str:
    if report.metric == "snr_db":
        return f"{wanted.accuracy:.1f} dB"
    return f"{100 * wanted.accuracy:.2f} %"


def _grouped(rate: Values) -> list[npt.NDArray[np.intp]]:
    """Return the chips of equal steps of the fault rate; steps without chips are left out."""
    count = int(np.clip(round(math.sqrt(len(rate)) / 1.5), 2, _GROUPS))
    edges = np.linspace(rate.min(), rate.max(), count + 1)[1:-1]
    index = np.searchsorted(edges, rate, side="right")
    return [found for i in range(count) if (found := np.flatnonzero(index == i)).size]


def _share(reached: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return a share and its interval (Wilson 1927) [%]."""
    n, p = len(reached), float(reached.mean())
    middle = (p + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
    half = _Z95 * math.sqrt(p * (1 - p) / n + _Z95**2 / (4 * n * n)) / (1 + _Z95**2 / n)
    return 100 * max(0.0, middle - half), 100 * p, 100 * min(1.0, middle + half)


def _caption(report: FleetReport, drawn: int) -> str:
    parts = [f"{report.chips:,} chips"]
    if report.failed:
        parts.append(f"{report.failed:,} could not be compiled")
    if report.samples is not None:
        parts.append(f"{report.samples:,} samples each")
    if report.metric is not None and report.min_accuracy is not None:
        parts.append(f"{100 * report.share:.1f} % reach what is wanted")
    if drawn < report.done:
        parts.append(f"{report.done - drawn:,} not measured")
    return ", ".join(parts)

"""The picture of a sensitivity study: SVG, the same bytes for the same figures."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cimc.pipeline.sensitivity_report import PointResult, SensitivityReport
from cimc.pipeline.sensitivity_store import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that people of any colour vision tell apart: Okabe and Ito, "Color universal design"
#: (2008); each goes with its own marker or line style.
_BLUE, _RED, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
_STYLE: Final[Any] = {
    "svg.hashsalt": "cimc", "svg.fonttype": "none", "font.family": "DejaVu Sans",
    "font.size": 10.0, "axes.spines.top": False, "axes.spines.right": False,
    "axes.axisbelow": True, "legend.frameon": False,
}  # fmt: skip
#: Values that span more than this many decades get a logarithmic axis.
_DECADES: Final = 2.0
#: Values that are few enough for a tick each.
_TICKS: Final = 12

_METRICS: Final = {
    "top1": "top-1 accuracy [%]",
    "agreement": "agreement with the float network [%]",
    "snr_db": "signal-to-noise of the outputs [dB]",
}


def write_picture(report: SensitivityReport, path: Path) -> None:
    """Write the picture as SVG with text as text; the file appears complete."""
    replace_file(path, picture(report, "svg"))


def picture(report: SensitivityReport, kind: str = "svg") -> bytes:
    """Return the picture.

    Args:
        report: What to show.
        kind: ``svg`` or ``png``.
    """
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure = _figure(report)
        content = io.BytesIO()
        metadata = {"Date": None, "Creator": "cimc"} if kind == "svg" else None
        figure.savefig(content, format=kind, metadata=metadata, dpi=110)
    return content.getvalue()


def _figure(report: SensitivityReport) -> Figure:
    return _sweep(report) if report.parameter else _table(report)


def _table(report: SensitivityReport) -> Figure:
    """Return each non-ideality as a line: alone on the left, all but it on the right."""
    from matplotlib.figure import Figure

    alone = sorted((p for p in report.points if p.group == "alone"), key=lambda p: -p.mean)
    by_label = {p.label: p for p in report.points if p.group == "all but"}
    but = [by_label[p.label] for p in alone]
    whole = next(p for p in report.points if p.group == "all")
    figure = Figure(figsize=(9.6, 2.2 + 0.3 * max(1, len(alone))), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _dots(left, alone, report, _BLUE, "o")
    _dots(right, but, report, _RED, "D")
    left.set_yticks(list(range(len(alone))), [p.label for p in alone])
    left.set_ylim(-0.6, len(alone) - 0.4)
    left.set_title("each alone")
    right.set_title("all but each")
    handles = _references(left, report, None)
    handles = _references(right, report, whole) + _intervals(right, report)
    for axes, points in ((left, alone), (right, but)):
        axes.set_xlim(*_limits([*points, whole] if points is but else points, report))
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(_METRICS[report.metric])
        axes.locator_params(axis="x", nbins=6)
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    figure.supxlabel(_caption(report), fontsize=8, color=_GREY)
    return figure


def _dots(
    axes: Axes,
    points: Sequence[PointResult],
    report: SensitivityReport,
    colour: str,
    marker: str,
) -> None:
    for row, point in enumerate(points):
        middle = _shown(point.mean, report)
        low, high = _bounds(point, report)
        if low is not None and high is not None:
            axes.plot([low, high], [row, row], color=colour, linewidth=1.0)
        if ends := _gains(point, report):
            axes.plot(ends, [row, row], color=colour, linewidth=3.5, solid_capstyle="butt")
        axes.plot([middle], [row], marker=marker, markersize=5.5, color=colour, linestyle="none")


def _gains(point: PointResult, report: SensitivityReport) -> list[float]:
    """Return the ends of the interval of the difference from all, put at the mean of all."""
    if point.gain is None or point.gain_low is None or point.gain_high is None:
        return []
    whole = point.mean - point.gain
    most = math.inf if report.metric == "snr_db" else 1.0
    ends = [min(whole + g, most) for g in (point.gain_low, point.gain_high)]
    return [_shown(end, report) for end in ends]


def _limits(points: Sequence[PointResult], report: SensitivityReport) -> tuple[float, float]:
    """Return the ends of an axis: means, references, and intervals that say something.

    The interval of chips that all gave the same figure assumes nothing and is very wide.
    """
    ends = [p.mean for p in points]
    for point in points:
        if point.interval != "bounded":
            ends += [b for b in (point.ci_low, point.ci_high) if b is not None]
    ends += [report.ideal] + ([] if report.reference is None else [report.reference])
    shown = [_shown(v, report) for v in ends if math.isfinite(v)] or [0.0]
    shown += [end for point in points for end in _gains(point, report)]
    margin = 0.06 * (max(shown) - min(shown)) or 1.0
    return min(shown) - margin, max(shown) + margin


def _references(axes: Axes, report: SensitivityReport, whole: PointResult | None) -> list[Any]:
    """Draw what the figures are compared with, as vertical lines; return them for the legend."""
    lines = []
    if report.reference is not None:
        shown = _shown(report.reference, report)
        lines.append(axes.axvline(shown, color="black", linewidth=1.2, label="float"))
    ideal = _shown(report.ideal, report)
    if math.isfinite(ideal):
        lines.append(axes.axvline(ideal, color=_GREEN, ls="--", linewidth=1.4, label="ideal"))
    if whole is not None:
        shown = _shown(whole.mean, report)
        label = "all non-idealities"
        lines.append(axes.axvline(shown, color=_GREY, ls=":", linewidth=1.6, label=label))
    return lines


def _intervals(axes: Axes, report: SensitivityReport) -> list[Any]:
    """Return what the two kinds of bars are, for the legend."""
    share = f"{100 * report.confidence:g} % interval"
    (thin,) = axes.plot([], [], color=_GREY, linewidth=1.0, label=f"{share} of the mean")
    (thick,) = axes.plot(
        [], [], color=_GREY, linewidth=3.5, label=f"{share} of the difference from all"
    )
    return [thin, thick]


def _sweep(report: SensitivityReport) -> Figure:
    """Return accuracy against the swept parameter, with the interval of the mean as a band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.6), layout="constrained")
    axes = figure.subplots()
    points = sorted(report.points, key=lambda p: math.inf if p.x is None else p.x)
    numeric = all(p.x is not None for p in points)
    x = [p.x or 0.0 for p in points] if numeric else [float(i) for i in range(len(points))]
    mean = [_shown(p.mean, report) for p in points]
    bounds = [_bounds(p, report) for p in points]
    if any(low is not None for low, _ in bounds):
        low = [m if b[0] is None else b[0] for m, b in zip(mean, bounds, strict=True)]
        high = [m if b[1] is None else b[1] for m, b in zip(mean, bounds, strict=True)]
        share = f"{100 * report.confidence:g} % interval of the mean"
        if numeric and len(points) > 1:
            axes.fill_between(x, low, high, color=_BLUE, alpha=0.25, linewidth=0, label=share)
        else:
            axes.vlines(x, low, high, color=_BLUE, linewidth=3, alpha=0.5, label=share)
    style = "-" if numeric else "none"
    axes.plot(x, mean, color=_BLUE, marker="o", markersize=5, ls=style, label="chips, mean")
    free = [p.noise_free for p in points]
    if all(f is not None for f in free):
        shown = [_shown(f or 0.0, report) for f in free]
        axes.plot(x, shown, color=_RED, marker="D", markersize=4, ls="-.", label="noise-free")
    if report.reference is not None:
        axes.axhline(_shown(report.reference, report), color="black", linewidth=1.2, label="float")
    ideal = _shown(report.ideal, report)
    if math.isfinite(ideal):
        label = "ideal" if not report.compiled else "ideal, as compiled"
        axes.axhline(ideal, color=_GREEN, ls="--", linewidth=1.4, label=label)
    axes.set_ylim(*_limits(points, report))
    _scale(axes, points, x, report, numeric=numeric)
    axes.set_xlabel(_name(report))
    axes.set_ylabel(_METRICS[report.metric])
    axes.grid(color="#dddddd", linewidth=0.6)
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] != "chips, mean")
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside upper center",
        ncols=3,
    )
    figure.supxlabel(_caption(report), fontsize=8, color=_GREY)
    return figure


def _scale(
    axes: Axes,
    points: Sequence[PointResult],
    x: Sequence[float],
    report: SensitivityReport,
    *,
    numeric: bool,
) -> None:
    """Choose a linear or logarithmic axis, with a tick at every value where there is room."""
    positive = [v for v in x if v > 0]
    if numeric and positive and math.log10(max(positive) / min(positive)) > _DECADES:
        if min(x) > 0:
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=min(positive))
    if len(points) <= _TICKS:
        axes.set_xticks(list(x), [_number(p, report) for p in points])
        axes.set_xticks([], minor=True)


def _number(point: PointResult, report: SensitivityReport) -> str:
    """Return what stands at a tick: a time as people write it, a number, or a name."""
    if point.x is None or report.parameter == "at":
        return point.value
    return f"{point.x:g}"


def _name(report: SensitivityReport) -> str:
    if report.parameter == "at":
        return "time after programming"
    return report.parameter + (f" [{report.unit}]" if report.unit else "")


def _caption(report: SensitivityReport) -> str:
    chips = f"{report.chips} chips a point" if any(p.chips > 1 for p in report.points) else "1 run"
    return f"{report.samples:,} samples, {chips}, {100 * report.confidence:g} % intervals"


def _bounds(point: PointResult, report: SensitivityReport) -> tuple[float | None, float | None]:
    low, high = point.ci_low, point.ci_high
    return (
        None if low is None else _shown(low, report),
        None if high is None else _shown(high, report),
    )


def _shown(value: float, report: SensitivityReport) -> float:
    return value if report.metric == "snr_db" else 100 * value

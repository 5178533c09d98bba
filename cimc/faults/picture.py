"""The heat map of a chip's faults: SVG or PNG, the same bytes for the same map.

Few arrays are drawn cell by cell; of many, the rate of each as a map of the chip, and the worst
cell by cell.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from cimc.errors import UsageError
from cimc.faults.fault_map import FaultMap
from cimc.faults.summary import STATE_NAMES, Summary, summarize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

#: Colours that people of any colour vision tell apart: Okabe and Ito, "Color universal design"
#: (2008): a healthy cell, and one in each of the states 1, 2 and 3.
_COLOURS: Final = ("#F4F4F4", "#0072B2", "#D55E00", "#009E73")
_GREY: Final = "#555555"
_STYLE: Final[Any] = {
    "svg.hashsalt": "cimc", "svg.fonttype": "none", "font.family": "DejaVu Sans",
    "font.size": 9.0, "legend.frameon": False,
}  # fmt: skip
#: Most arrays drawn cell by cell, and of a chip with more, the worst of them.
_ALL: Final = 16
_WORST: Final = 4
#: Most pixels along a side of an array: one of many, or alone.
_PIXELS, _PIXELS_ALONE = 256, 1024
_ACROSS: Final = 4
#: A map of the chip shows gaps where at least one number in so many is of a tested array.
_SPARSE: Final = 20


def picture(
    fault_map: FaultMap, kind: Literal["svg", "png"] = "svg", *, array: int | None = None
) -> bytes:
    """Return the picture.

    Args:
        fault_map: What to show.
        kind: Of file; text in SVG stays text.
        array: Only this array; None: the chip.

    Raises:
        UsageError: ``CIMC-U02``, the array is not among the tested ones.
    """
    import matplotlib
    from matplotlib.figure import Figure

    summary = summarize(fault_map)
    numbers = fault_map.arrays
    if array is not None and array not in numbers:
        tested = summary.to_json()["tested_arrays"]
        raise UsageError(
            "CIMC-U02", f"array {array} was not tested", where="--array", hint=f"one of {tested}"
        )
    with matplotlib.rc_context(_STYLE):
        if array is not None:
            figure = Figure(figsize=(7.2, 7.6), layout="constrained")
            _panels(figure, summary, [array])
        elif len(numbers) <= _ALL:
            down = max(1, math.ceil(len(numbers) / _ACROSS))
            across = max(1, min(len(numbers), _ACROSS))
            figure = Figure(figsize=(2.0 + 2.6 * across, 1.2 + 2.8 * down), layout="constrained")
            _panels(figure, summary, numbers.tolist())
        else:
            figure = Figure(figsize=(11.4, 9.2), layout="constrained")
            parts: Any = figure.subfigures(2, 1, height_ratios=[1.75, 1.0])
            upper, lower = parts
            _overview(upper, summary)
            worst = [int(numbers[i]) for i in summary.worst[:_WORST]]
            if worst:
                _panels(lower, summary, worst, title="the worst arrays, cell by cell")
        _legend(figure, summary, array)
        figure.supxlabel(_caption(summary), fontsize=8, color=_GREY)
        content = io.BytesIO()
        metadata = {"Date": None, "Creator": "cimc"} if kind == "svg" else {"Software": "cimc"}
        figure.savefig(content, format=kind, metadata=metadata, dpi=130)
    return content.getvalue()


def _panels(
    figure: Figure | SubFigure, summary: Summary, arrays: list[int], title: str = ""
) -> None:
    """Draw arrays cell by cell."""
    if title:
        figure.suptitle(title, fontsize=10)
    if not arrays:
        return
    across = min(len(arrays), _ACROSS)
    down = math.ceil(len(arrays) / across)
    grid = figure.subplots(down, across, squeeze=False)
    most = _PIXELS_ALONE if len(arrays) == 1 else _PIXELS
    for number, axes in zip(arrays, grid.flat, strict=False):
        _panel(axes, summary, number, most)
    for axes in grid.flat[len(arrays) :]:
        axes.set_axis_off()
    grid[-1, 0].set_xlabel("bit line (column)")
    grid[0, 0].set_ylabel("word line (row)")


def _panel(axes: Axes, summary: Summary, array: int, most: int) -> None:
    """Draw one array."""
    from matplotlib.colors import ListedColormap

    states, block = _states(summary.map, array, most)
    rows, columns = _size(summary.map)
    axes.imshow(
        states,
        cmap=ListedColormap(_COLOURS),
        vmin=-0.5,
        vmax=3.5,
        interpolation="none",
        extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
        aspect="equal",
    )
    faulty = int(summary.counts[np.searchsorted(summary.map.arrays, array)].sum())
    share = f" ({_percent(faulty / summary.array_cells)})" if summary.array_cells else ""
    note = "" if block == 1 else f", a pixel is {block} x {block} cells"
    axes.set_title(f"array {array}: {faulty:,}{share}{note}", fontsize=9)
    axes.tick_params(labelsize=7, length=2)
    for which, size in ((axes.xaxis, columns), (axes.yaxis, rows)):
        which.set_ticks([0, size // 2, size - 1] if size > 4 else list(range(size)))


def _states(fault_map: FaultMap, array: int, most: int) -> tuple[npt.NDArray[np.uint8], int]:
    """Return the state of every cell of an array, uint8, and cells along a side of a pixel.

    A pixel of several cells has the state that most of its faulty ones have.
    """
    rows, columns = _size(fault_map)
    low, high = np.searchsorted(fault_map.cells[:, 0], (array, array + 1))
    cells = fault_map.cells[low:high]
    block = max(1, math.ceil(max(rows, columns) / most))
    height, width = math.ceil(rows / block), math.ceil(columns / block)
    place = (cells[:, 1] // block).astype(np.int64) * width + cells[:, 2] // block
    counts = np.bincount(place * 3 + cells[:, 3] - 1, minlength=height * width * 3)
    counts = counts.reshape(height, width, 3)
    states = np.where(counts.any(axis=2), counts.argmax(axis=2) + 1, 0)
    return states.astype(np.uint8), block


def _size(fault_map: FaultMap) -> tuple[int, int]:
    """Return rows and columns of an array; where unknown, up to the last fault."""
    last = fault_map.cells[:, 1:3].max(axis=0, initial=0).tolist()
    return fault_map.array_rows or last[0] + 1, fault_map.array_columns or last[1] + 1


def _overview(figure: SubFigure, summary: Summary) -> None:
    """Draw the rate of every array as a map of the chip, and how the rates are distributed."""
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1.0])
    numbers = summary.map.arrays
    total = summary.counts.sum(axis=1).astype(np.float64)
    unit = "faulty cells"
    if summary.array_cells:
        total, unit = 100.0 * total / summary.array_cells, "faulty cells [%]"
    # By number, as they lie on the chip; few arrays of a wide range one after the other.
    wide = int(numbers[-1]) >= _SPARSE * len(numbers)
    place = np.arange(len(numbers)) if wide else numbers
    across = math.ceil(math.sqrt(int(place[-1]) + 1))
    down = math.ceil((int(place[-1]) + 1) / across)
    table = np.full(across * down, np.nan)
    table[place] = total
    image = left.imshow(
        np.ma.masked_invalid(table.reshape(down, across)),
        cmap="viridis",
        interpolation="none",
        vmin=0.0,
        vmax=max(float(total.max(initial=0.0)), 1e-12),
    )
    left.set_facecolor("#cccccc")
    what = "every tested array" if wide else "every array of the chip"
    left.set_title(f"{what}, {across} a row (grey: not tested)", fontsize=10)
    lines = range(0, down, max(1, down // 8))
    first = [numbers[across * i] if wide else across * i for i in lines]
    left.set_yticks(list(lines), [str(number) for number in first])
    left.set_ylabel("number of the first array of the row")
    left.set_xlabel("array after the first of the row")
    bar = left.figure.colorbar(image, ax=left, shrink=0.9)
    bar.set_label(unit)
    right.hist(total, bins=min(40, max(5, len(total) // 8)), color=_COLOURS[1])
    right.set_title("how many arrays have how many", fontsize=10)
    right.set_xlabel(unit)
    right.set_ylabel("arrays")
    right.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, summary: Summary, array: int | None) -> None:
    from matplotlib.patches import Patch

    shown = slice(None) if array is None else summary.map.arrays == array
    counts = summary.counts[shown].sum(axis=0).tolist()
    handles = [
        Patch(color=_COLOURS[state], label=f"{name}: {count:,}")
        for (state, name), count in zip(STATE_NAMES.items(), counts, strict=True)
        if count
    ]
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=3)


def _caption(summary: Summary) -> str:
    found = summary.map
    arrays = "1 array" if len(found.arrays) == 1 else f"{len(found.arrays):,} arrays"
    parts = [f"chip {found.chip}" + (f" of target {found.target}" if found.target else ""), arrays]
    parts.append(f"{summary.faulty:,} faulty cells")
    if summary.rate is not None:
        parts[-1] += f" of {summary.cells:,} ({_percent(summary.rate)})"
    lines = len(summary.rows) + len(summary.columns)
    if lines:
        parts.append(f"{len(summary.rows)} broken rows, {len(summary.columns)} broken columns")
    return ", ".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"

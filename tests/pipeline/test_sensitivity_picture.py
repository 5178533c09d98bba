"""The picture: the same bytes, text as text, axes that fit the values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from cimc.pipeline import sensitivity_picture
from cimc.pipeline.sensitivity_picture import picture, write_picture
from cimc.pipeline.sensitivity_report import PointResult, SensitivityReport


def point(mean: float, label: str = "p", group: str = "sweep", **more: Any) -> PointResult:
    given: dict[str, Any] = {
        "label": label, "group": group, "value": label, "x": None, "effects": (), "at_s": 0.0,
        "mean": mean, "std": 0.01, "min": mean, "max": mean, "ci_low": mean - 0.02,
        "ci_high": mean + 0.02, "interval": "student", "chips": 5, "values": (mean,),
        "noise_free": None, "compiled": False, "arrays": 1, "seconds": 1.0,
    }  # fmt: skip
    return PointResult(**{**given, **more})


def report(*points: PointResult, **more: Any) -> SensitivityReport:
    given: dict[str, Any] = {
        "program": "", "metric": "top1", "baseline": "float", "reference": 0.95, "ideal": 0.94,
        "noise_free": 0.93, "parameter": "", "unit": "", "points": points, "chips": 5,
        "samples": 100, "seed": 0, "confidence": 0.95, "compiled": 0, "resumed": 0,
        "picture": None, "seconds": 1.0,
    }  # fmt: skip
    return SensitivityReport(**{**given, **more})


def table() -> SensitivityReport:
    names = ("drift", "read noise", "wire resistance")
    alone = [point(0.9 - 0.1 * i, n, "alone") for i, n in enumerate(names)]
    but = [point(0.7, n, "all but") for n in names]
    return report(point(0.65, "all", "all"), *alone, *but)


def swept(values: dict[str, float | None], **more: Any) -> SensitivityReport:
    points = [point(0.9 - 0.05 * i, v, x=x) for i, (v, x) in enumerate(values.items())]
    return report(*points, **{"parameter": "at", "unit": "s", **more})


def axes_of(made: SensitivityReport) -> Any:
    figure = sensitivity_picture._figure(made)
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    return figure.axes[0]


@pytest.mark.parametrize("made", [table(), swept({"1 s": 1, "1 d": 86400})])
def test_the_same_bytes(made: SensitivityReport) -> None:
    assert picture(made) == picture(made)
    assert b"<dc:date>" not in picture(made)


def test_text_is_text() -> None:
    svg = picture(table()).decode()
    shown = set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    assert {"drift", "read noise", "wire resistance", "each alone", "all but each"} <= shown
    assert {"top-1 accuracy [%]", "float", "ideal", "all non-idealities"} <= shown


def test_the_worst_alone_is_on_top() -> None:
    labels = [t.get_text() for t in axes_of(table()).get_yticklabels()]
    assert labels == ["drift", "read noise", "wire resistance"]  # upwards


def test_wide_ranges_are_logarithmic() -> None:
    wide = {"1 s": 1.0, "1 h": 3600.0, "1 month": 2592000.0}
    assert axes_of(swept(wide)).get_xscale() == "log"
    assert axes_of(swept({"0 s": 0.0, **wide})).get_xscale() == "symlog"
    assert axes_of(swept({"4": 4.0, "8": 8.0})).get_xscale() == "linear"


def test_ticks_are_at_the_values() -> None:
    axes = axes_of(swept({"1 s": 1.0, "1 month": 2592000.0}))
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1 s", "1 month"]
    assert axes.get_xlabel() == "time after programming"
    axes = axes_of(swept({"100 nS": 0.1, "1 uS": 1.0}, parameter="noise.sigma", unit="uS"))
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0.1", "1"]
    assert axes.get_xlabel() == "noise.sigma [uS]"


def test_values_by_name_are_not_joined_by_a_line() -> None:
    axes = axes_of(swept({"lloyd": None, "uniform": None}, parameter="quantizer", unit=""))
    assert [t.get_text() for t in axes.get_xticklabels()] == ["lloyd", "uniform"]
    (means,) = [line for line in axes.lines if line.get_label() == "chips, mean"]
    assert means.get_linestyle() == "None"


def test_a_sweep_is_drawn_in_order() -> None:
    axes = axes_of(swept({"1 d": 86400.0, "1 s": 1.0, "1 h": 3600.0}))
    (means,) = [line for line in axes.lines if line.get_label() == "chips, mean"]
    assert list(means.get_xdata()) == [1.0, 3600.0, 86400.0]


def test_decibels_and_what_is_not_known() -> None:
    made = swept({"1 s": 1.0}, metric="snr_db", reference=None, ideal=float("inf"))
    assert axes_of(made).get_ylabel() == "signal-to-noise of the outputs [dB]"
    bare = report(point(20.0, "a", x=1.0, ci_low=None, ci_high=None), parameter="x", unit="")
    axes_of(bare)


def test_no_non_idealities_at_all() -> None:
    axes_of(report(point(0.9, "all", "all")))


def test_the_file_appears_whole(tmp_path: Path) -> None:
    write_picture(table(), tmp_path / "s.svg")
    assert (tmp_path / "s.svg").read_bytes().startswith(b"<?xml")
    assert [p.name for p in tmp_path.iterdir()] == ["s.svg"]
    assert picture(table(), "png").startswith(b"\x89PNG")

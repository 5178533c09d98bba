"""Yields, worst chips, the picture and the table, from results made up here."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from cimc.fleets import picture as drawing
from cimc.fleets.picture import picture
from cimc.fleets.records import COLUMNS, Record
from cimc.fleets.report import make_report, write_csv
from cimc.fleets.standing import Standing

STANDARD = {
    "metric": "top1",
    "baseline": "float",
    "samples": 5000,
    "reference": 0.993,
    "fault_free": 0.99,
}


def records(count: int, **changes: Any) -> list[Record]:
    draw = np.random.default_rng(count)
    made = [
        Record(
            f"c{i:04}", f"c{i:04}.csv", "done", metric="top1", seconds=0.5, peak_rss_mib=300.0 + i,
            fault_rate=0.2 * i / count, accuracy=0.99 - 0.03 * draw.random(),
            output_error_after=0.01 * i,
        )
        for i in range(count)
    ]  # fmt: skip
    return [replace(r, **changes) for r in made]


def facts(**changes: Any) -> dict[str, Any]:
    return {
        "program": "p.cim", "program_sha256": "00", "settings": {}, "min_accuracy": None,
        "min_yield": 1.0, "standard": STANDARD, **changes,
    }  # fmt: skip


def test_yields_count_failed_chips_as_missing() -> None:
    known = [
        replace(r, accuracy=a) for r, a in zip(records(4), (0.99, 0.98, 0.97, 0.5), strict=True)
    ]
    known.append(Record("x", "x.csv", "failed", error_code="CIMC-F02", error_message="torn"))
    report = make_report(Path("out"), facts(min_accuracy=0.975, min_yield=0.4), known, None, None)
    assert (report.chips, report.done, report.failed, report.passing) == (5, 4, 1, 2)
    assert (report.share, report.passed) == (0.4, True)
    assert {(round(y.accuracy, 4), y.share) for y in report.yields} == {
        (0.985, 0.2), (0.98, 0.4), (0.975, 0.4), (0.97, 0.6), (0.94, 0.6)
    }  # fmt: skip
    assert [w["chip"] for w in report.worst] == ["c0003", "c0002", "c0001", "c0000"]
    assert report.failures == (
        {"chip": "x", "fault_map": "x.csv", "error_code": "CIMC-F02", "error_message": "torn"},
    )
    assert (report.min, report.max, report.median) == (0.5, 0.99, 0.975)
    assert report.mean == pytest.approx(0.86)
    assert report.std == pytest.approx(np.std([0.99, 0.98, 0.97, 0.5], ddof=1))
    assert (report.chip_seconds, report.peak_rss_mib) == (0.5, 303.0)
    stricter = make_report(Path("out"), facts(), known, 0.985, 0.3)
    assert (stricter.passing, stricter.passed) == (1, False)


def test_without_samples_the_worst_have_the_largest_error() -> None:
    known = records(20, accuracy=None, metric=None)
    report = make_report(Path("out"), facts(standard=None), known, None, None)
    assert report.yields == ()
    assert [w["chip"] for w in report.worst[:2]] == ["c0019", "c0018"]
    assert (report.mean, report.passed) == (None, True)


def test_nothing_yet() -> None:
    report = make_report(Path("out"), facts(), [], None, None)
    assert (report.chips, report.share, report.chip_seconds) == (0, 0.0, None)
    ET.fromstring(picture(report, []))


@pytest.mark.parametrize("count", [1, 5, 40, 1000])
@pytest.mark.parametrize("metric", ["top1", "snr_db", None])
def test_the_picture_is_the_same_bytes(count: int, metric: str | None) -> None:
    known = records(count, metric=metric)
    if metric is None:
        known = [replace(r, accuracy=None) for r in known]
    standard = None if metric is None else {**STANDARD, "metric": metric}
    report = make_report(Path("out"), facts(standard=standard), known, None, None)
    first = picture(report, known)
    assert picture(report, known[::-1]) == first
    text = first.decode()
    ET.fromstring(text)
    assert ("chips that reach it" in text) == (count >= 40 and metric == "top1")
    assert f"{count:,} chips" in text


def test_intervals_are_wilsons() -> None:
    for right, count in ((0, 5), (3, 7), (50, 100), (9, 9)):
        low, share, high = drawing._share(np.arange(count) < right)
        known = binomtest(right, count).proportion_ci(0.95, method="wilson")
        assert (low, share, high) == pytest.approx(
            (100 * known.low, 100 * right / count, 100 * known.high), abs=1e-4
        )


def test_groups_hold_every_chip_once() -> None:
    rate = np.sort(np.random.default_rng(0).exponential(size=200))
    groups = drawing._grouped(rate)
    assert sorted(np.concatenate(groups).tolist()) == list(range(200))
    assert all(np.ptp(rate[g]) <= np.ptp(rate) / len(groups) for g in groups) or len(groups) < 12


def test_the_table_has_every_column(tmp_path: Path) -> None:
    known = [*records(3), Record("=x, y", "x.csv", "failed", error_message='a "b"\nc')]
    write_csv(known, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert float(rows[1]["accuracy"]) == known[1].accuracy
    assert (rows[3]["chip"], rows[3]["error_message"]) == ("=x, y", 'a "b"\nc')
    assert rows[3]["accuracy"] == ""


def test_the_time_left() -> None:
    standing = Standing(total=10)
    for record in records(2):
        standing.add(record, before=True)
    assert standing.left_s is None
    for record in records(2, accuracy=0.5):
        standing.add(record)
    standing.add(Record("x", "x.csv", "failed"))
    standing.seconds = 6.0
    assert (standing.finished, standing.done, standing.failed, standing.before) == (5, 4, 1, 2)
    assert standing.left_s == 10.0
    assert standing.accuracy == pytest.approx((sum(r.accuracy or 0 for r in records(2)) + 1) / 4)

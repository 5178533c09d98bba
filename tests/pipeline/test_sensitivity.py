"""A study measures what ``verify`` measures, point by point."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cimc
from cimc.errors import CimcError
from cimc.pipeline.sensitivity import sensitivity
from cimc.pipeline.sensitivity_report import PointResult, SensitivityReport
from cimc.verification import verify
from tests.pipeline.conftest import Chain

CHIPS = 3


@pytest.fixture
def study(chain: Chain) -> Callable[..., SensitivityReport]:
    def run(**options: Any) -> SensitivityReport:
        given = {"chips": CHIPS, **options}
        return sensitivity(chain.program, reference=chain.model, data=chain.data, **given)

    return run


def timeless(report: SensitivityReport) -> dict[str, Any]:
    plain = report.to_json()
    plain.update(seconds=0, resumed=0, compiled=0, warnings=0, picture=None)
    for point in plain["points"]:
        point["seconds"] = 0
    return plain


def test_points_are_what_verify_finds(chain: Chain, study: Callable[..., Any]) -> None:
    report = study()

    def values(**options: Any) -> tuple[float, ...]:
        return verify(
            chain.program, reference=chain.model, data=chain.data, chips=CHIPS, **options
        ).values

    by_key = {(p.group, p.effects): p for p in report.points}
    assert by_key["alone", ("programming",)].values == values(only="programming")
    assert by_key["all but", ("dac", "adc")].values == values(without="programming")
    assert by_key["all but", ("dac", "programming")].values == values(without="adc")
    assert report.points[0].values == values()
    assert report.points[0].group == "all"
    assert by_key["alone", ("dac",)].interval == "exact"
    whole = verify(chain.program, reference=chain.model, data=chain.data, chips=1)
    assert (report.reference, report.ideal, report.noise_free) == (
        whole.reference,
        whole.ideal,
        whole.noise_free,
    )
    assert (report.metric, report.baseline, report.compiled) == ("top1", "float", 0)


def test_a_sweep_of_physics(chain: Chain, study: Callable[..., Any]) -> None:
    report = study(sweep="noise.programming.sigma=0 uS,2 uS,8 uS")
    calm, own, loud = report.points
    assert (calm.chips, calm.interval, calm.mean) == (1, "exact", report.noise_free)
    assert own.values == study(sweep="noise.programming.sigma=2 uS").points[0].values
    assert (
        own.values
        == verify(chain.program, reference=chain.model, data=chain.data, chips=CHIPS).values
    )
    assert loud.mean < own.mean < calm.mean
    assert report.compiled == 0


def test_a_sweep_that_compiles(study: Callable[..., Any]) -> None:
    report = study(sweep="adc.bits=3,8", chips=2)
    coarse, fine = report.points
    assert report.compiled == 2
    assert coarse.noise_free < fine.noise_free
    assert fine.noise_free == report.noise_free
    assert "compiled again for 2 points, calibrated on the 60 samples" in report.warnings[0]


def test_larger_arrays_are_fewer(study: Callable[..., Any]) -> None:
    few, many = study(sweep="array.rows+array.columns=4,256", chips=1).points
    assert few.arrays > many.arrays


def test_samples_are_the_first(chain: Chain, study: Callable[..., Any]) -> None:
    report = study(samples=20, sweep="at=1 s", chips=2)
    first = {name: array[:20] for name, array in chain.data.items()}
    found = verify(chain.program, reference=chain.model, data=first, chips=2, at=1.0)
    assert (report.samples, report.points[0].values) == (20, found.values)
    assert report.points[0].at_s == 1.0


def test_an_interrupted_study_goes_on(study: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "s.svg"
    done: list[PointResult] = []

    def stop(point: PointResult) -> None:
        done.append(point)
        if len(done) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(output=out, found=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.json"]
    assert len(json.loads((tmp_path / "s.json").read_text())["points"]) == 4
    again = study(output=out, resume=True)
    assert again.resumed == 4
    assert out.is_file()
    assert timeless(again) == timeless(study())
    assert study(output=out, resume=True).resumed == len(again.points)
    kept = out.read_bytes()
    study(output=out, resume=True)
    assert out.read_bytes() == kept


def test_values_may_be_added_to_a_sweep(study: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "s.svg"
    study(sweep="at=1 s,1 h", output=out)
    longer = study(sweep="at=1 s,1 d,1 h", output=out, resume=True)
    assert longer.resumed == 2
    assert [p.value for p in longer.points] == ["1 s", "1 d", "1 h"]


@pytest.mark.parametrize("other", [{"chips": 4}, {"samples": 10}, {"seed": 1}, {"at": "1 h"}])
def test_other_settings_do_not_go_on(
    study: Callable[..., Any], tmp_path: Path, other: dict[str, Any]
) -> None:
    out = tmp_path / "s.svg"
    study(sweep="noise.programming.sigma=1 uS", output=out)
    with pytest.raises(CimcError) as caught:
        study(**{"sweep": "noise.programming.sigma=1 uS", "output": out, "resume": True, **other})
    assert caught.value.code == "CIMC-U10"


def test_progress_ends_at_one(study: Callable[..., Any]) -> None:
    told: list[tuple[str, float]] = []
    study(sweep="at=1 s,1 h", progress=lambda what, share: told.append((what, share)))
    shares = [share for what, share in told if what == "points"]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_wrong_values_are_refused_first(study: Callable[..., Any]) -> None:
    for code, options in {
        "CIMC-U02": {"samples": 0},
        "CIMC-U08": {"at": "soon"},
        "CIMC-U09": {"sweep": "nothing=1"},
    }.items():
        with pytest.raises(CimcError) as caught:
            study(**options)
        assert caught.value.code == code


def test_it_is_a_verb(chain: Chain) -> None:
    report = cimc.sensitivity(
        chain.program, reference=chain.model, data=chain.data, sweep="at=1 s", chips=1
    )
    assert len(report.points) == 1


def test_gains_are_differences_chip_by_chip(study: Callable[..., Any]) -> None:
    from cimc.verification.intervals import student

    report = study(chips=5)
    whole = report.points[0]
    for point in report.points:
        if point.group != "all but":
            assert point.gain is None
            continue
        values = point.values * (5 // len(point.values))
        differences = [a - b for a, b in zip(values, whole.values, strict=True)]
        assert point.gain == pytest.approx(sum(differences) / 5)
        if len(set(differences)) > 1:
            wanted = student(differences, 0.95)
            assert (point.gain_low, point.gain_high) == pytest.approx((wanted.low, wanted.high))
        else:
            assert point.gain_low is None

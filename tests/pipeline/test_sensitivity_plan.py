from __future__ import annotations

import pytest

from cimc.errors import CimcError, UsageError
from cimc.pipeline.sensitivity_plan import Plan, one_by_one, paths, sweep
from cimc.targets import load_target
from cimc.verification.effects import select
from tests.verification.fakes import program


def planned(text: str) -> Plan:
    return sweep(load_target("rram"), text)


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        planned(text)
    assert caught.value.code == "CIMC-U09"
    return str(caught.value)


def test_each_alone_and_all_but_each() -> None:
    made = program()
    on = set(select(made).effects)
    plan = one_by_one(made)
    assert [p.group for p in plan.points] == ["all"] + ["alone"] * len(on) + ["all but"] * len(on)
    alone = [set(p.effects or ()) for p in plan.points if p.group == "alone"]
    but = [set(p.effects or ()) for p in plan.points if p.group == "all but"]
    assert [a | b for a, b in zip(alone, but, strict=True)] == [on] * len(on)
    assert not any(p.compiled for p in plan.points)
    assert len({p.key for p in plan.points}) == len(plan.points)


def test_effects_of_a_converter_are_measured_with_it() -> None:
    from dataclasses import replace

    noisy = load_target("rram").plain()
    noisy["adc"]["noise_lsb"] = 0.5
    made = replace(program(), target=noisy)
    try:
        plan = one_by_one(made)
    except CimcError as error:  # not a setting the executor honours yet
        pytest.skip(str(error))
    (point,) = [p for p in plan.points if p.key == "alone adc-noise"]
    assert point.effects == ("adc", "adc-noise")


@pytest.mark.parametrize(
    ("text", "unit", "x", "compiled"),
    [
        ("adc.bits=4,6, 8", "", [4, 6, 8], True),
        ("array.rows=64,128", "", [64, 128], True),
        ("noise.programming.sigma=0 uS,100 nS,0.2 uS", "uS", [0, 0.1, 0.2], False),
        ("noise.thermal.temperature=300 K,350 K", "K", [300, 350], False),
        ("stuck.at_g_min=0,1e-3,0.01", "", [0, 0.001, 0.01], False),
        ("at=1 s,1 h,1 d,1 month", "s", [1, 3600, 86400, 2592000], False),
        ("levels=4,8", "", [4, 8], True),
        ("quantizer=lloyd,uniform", "", [None, None], True),
        ("adc.bits=4,null", "", [None, None], True),
    ],
)
def test_sweeps(text: str, unit: str, x: list[float | None], compiled: bool) -> None:
    plan = planned(text)
    assert plan.unit == unit
    assert [p.x for p in plan.points] == pytest.approx(x)
    assert {p.compiled for p in plan.points} == {compiled}
    assert plan.parameter == text.split("=")[0]


def test_several_settings_take_one_value() -> None:
    plan = planned("stuck.at_g_min + stuck.at_g_max=0,0.01")
    assert plan.parameter == "stuck.at_g_min+stuck.at_g_max"
    assert dict(plan.points[1].changes) == {"stuck.at_g_min": 0.01, "stuck.at_g_max": 0.01}


def test_a_swept_sigma_takes_the_place_of_another_way_to_give_it() -> None:
    target = load_target("rram").changed({"noise.programming": {"sigma_relative": 0.02}})
    plan = sweep(target, "noise.programming.sigma=0.1 uS,0.2 uS")
    changed = target.changed(plan.points[1].changes)
    assert changed.noise.programming is not None
    assert changed.noise.programming.sigma_us == 0.2
    assert changed.noise.programming.sigma_relative is None


def test_wrong_sweeps() -> None:
    assert "'adc.bits'" in refused("adc.bit=4,5")
    assert "'noise.programming.sigma'" in refused("noise.programing.sigma=0 uS")
    assert "changes no result" in refused("costs.mvm_time=1 ns,2 ns")
    assert "levels=" in refused("cell.default_levels=4,8")
    assert "twice" in refused("adc.bits=4,4")
    assert "twice" in refused("at=60 s,1 min")
    for text in ("", "adc.bits", "adc.bits=", "=4", "adc.bits=4,,5", "at+levels=1", "zzz=1"):
        refused(text)


def test_values_the_target_cannot_have() -> None:
    for text in ("adc.bits=8,99", "noise.programming.sigma=0.1", "at=1 week", "array.rows=x,y"):
        with pytest.raises(CimcError) as caught:
            planned(text)
        assert caught.value.code in ("CIMC-T03", "CIMC-T04", "CIMC-U08")


def test_every_path_is_one_a_target_file_has() -> None:
    found = paths()
    assert len(set(found)) == len(found)
    assert {"adc.bits", "wires.word_line", "noise.read.one_over_f.t_read"} <= set(found)

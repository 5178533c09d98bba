from __future__ import annotations

from dataclasses import replace

import pytest

from cimc.errors import CimcError
from cimc.program.model import DeviceProgram, FaultRecord
from cimc.targets import load_target
from cimc.targets.compatibility import SWITCHES
from cimc.verification import verify
from cimc.verification.effects import names_of, seconds_of, select, time_text
from tests.verification.fakes import data, factory, float_network, program


def refused(code: str, *args: object) -> str:
    with pytest.raises(CimcError) as caught:
        select(program(), *args)  # type: ignore[arg-type]
    assert caught.value.code == code
    return str(caught.value)


def described(made: DeviceProgram) -> set[str]:
    return set(select(made).effects)


def test_everything_the_target_describes_is_on() -> None:
    found = select(program())
    assert {"dac", "adc", "programming"} <= set(found.effects)
    assert list(found.effects) == [n for n in SWITCHES if n in found.effects]
    assert (found.absent, found.random, found.fluctuates) == ((), True, False)


def test_only_and_without_part_what_is_described() -> None:
    made = program()
    names = "dac,adc"
    only, rest = select(made, only=names), select(made, without=names)
    assert set(only.effects) == {"dac", "adc"}
    assert set(only.effects) | set(rest.effects) == described(made)
    assert not set(only.effects) & set(rest.effects)
    assert (only.random, rest.random) == (False, True)


@pytest.mark.parametrize("option", ["only", "without"])
def test_what_the_target_does_not_describe_is_reported(option: str) -> None:
    made = replace(program(), target=load_target("ideal").plain())
    found = select(made, **{option: ["drift", "read , drift"]})  # type: ignore[arg-type]
    assert (found.effects, found.absent) == ((), ("drift", "read"))


def test_nothing_left() -> None:
    made = program()
    assert select(made, without=sorted(described(made))).effects == ()
    assert not select(made, only=[]).effects


def test_unknown_names_say_which_is_meant() -> None:
    assert "'programming'" in refused("CIMC-U47", "programing")
    assert "'one-over-f'" in refused("CIMC-U47", None, "adc,one_over_f")
    assert "one of dac" in refused("CIMC-U47", "qqqq")
    refused("CIMC-U47", "")


def test_lists_exclude_each_other_and_other_modes() -> None:
    refused("CIMC-U06", "dac", "adc")
    refused("CIMC-U06", "dac", None, None, "ideal")
    refused("CIMC-U06", None, "adc", None, "noise-free")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30 s", 30), ("1h", 3600), ("1d", 86400), ("1 month", 2_592_000), ("2 ms", 0.002), (5, 5)],
)
def test_times(written: str | float, seconds: float) -> None:
    assert seconds_of(written) == seconds
    assert select(program(), at=written).at_s == seconds


@pytest.mark.parametrize("written", ["1", "1 week", "-1 s", "1e300 y", "", "s", "nan s", -1.0])
def test_no_times(written: str | float) -> None:
    refused("CIMC-U08", None, None, written)


def test_times_are_shown_as_people_write_them() -> None:
    shown = [time_text(s) for s in (0, 30, 60, 3600, 86400, 2_592_000, 31_536_000, 90, 1e-6)]
    assert shown == ["0 s", "30 s", "1 min", "1 h", "1 d", "1 month", "1 y", "90 s", "1e-06 s"]


def test_chips_differ_only_where_something_has_a_spread() -> None:
    def random(at: float = 0.0, **changes: object) -> bool:
        described = load_target("rram").changed({"noise": changes}).plain()
        return select(replace(program(), target=described), at=at).random

    aged = {"nu": 0.05, "t0": "20 s"}
    assert not random(programming={"sigma": "0 uS"})
    assert random(programming={"sigma": "1e-6 uS"})
    assert not random(at=1e6, drift=aged)  # every cell by the same factor
    assert random(at=1e6, drift={**aged, "nu_sigma": 0.01})
    assert not random(at=20.0, drift={**aged, "nu_sigma": 0.01})  # up to t0 nothing happens
    assert not random(relaxation={"sigma_relative": 0.1})
    assert random(at=1.0, relaxation={"sigma_relative": 0.1})


def test_a_fault_map_stands_for_the_stuck_rates() -> None:
    import numpy as np

    target = load_target("rram").changed({"stuck": {"at_g_min": 0.01}}).plain()
    faults = FaultRecord("a", np.empty((0, 4), np.int32), np.empty(0, np.float32))
    assert "stuck" in select(replace(program(), target=target)).effects
    assert "stuck" not in select(replace(program(), target=target, faults=faults)).effects


def test_names_are_taken_once() -> None:
    assert names_of("dac, adc ,dac") == ("dac", "adc")
    assert names_of(None) is None


def test_verify_reports_them() -> None:
    report = verify(
        program(),
        reference=float_network,
        data=data(),
        chips=2,
        only="adc,drift",
        at="1h",
        executor_factory=factory(0.0),
    )
    assert report.effects == ("adc",)
    assert report.effects_not_described == ("drift",)
    assert report.at_s == 3600
    assert (report.chips, report.interval) == (1, "exact")  # nothing random is left
    assert report.to_json()["effects"] == ("adc",) or report.to_json()["effects"] == ["adc"]

"""What a target may say, and what is refused."""

import pytest

from cimc.errors import TargetError
from cimc.targets import Target, load_target


def rram(**changes):
    return load_target("rram").changed({k.replace("__", "."): v for k, v in changes.items()})


def refusal(**changes):
    with pytest.raises(TargetError) as caught:
        rram(**changes)
    return caught.value


def test_units_are_in_the_names():
    target = load_target("rram")
    assert (target.cell.g_min_us, target.cell.g_max_us) == (2.1, 17.85)
    assert target.read.v_read_v == 0.2
    assert target.noise.programming.sigma_us == pytest.approx(0.32 / 2**0.5, rel=2e-3)
    assert target.cell.states == "analog"


def test_fixed_states():
    states = ["2.1 uS", "5 uS", "0.01785 mS"]
    target = rram(cell__states=states, cell__default_levels=5)
    assert target.cell.states == (2.1, 5.0, 17.85)
    assert Target.from_plain(target.plain()) == target


def test_defaulted_settings_are_reported():
    data = load_target("rram").plain()
    assert Target.from_plain(data).defaulted == []
    del data["read"]["v_read"], data["stuck"], data["description"], data["sources"]
    assert Target.from_plain(data).defaulted == ["read.v_read = 0.2 V", "stuck = none"]


def test_what_is_changed_loses_its_source():
    assert "cell.g_max" in rram(adc__bits=6).sources
    assert "cell.g_max" not in rram(cell__g_max="20 uS").sources
    assert "noise.programming.sigma" not in rram(noise__programming=None).sources


def test_targets_are_immutable():
    with pytest.raises(ValueError, match="frozen"):
        load_target("rram").name = "other"


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"cell__g_max": "1 uS"}, "T04", "cell.g_max: should be greater than cell.g_min = 2.1 uS"),
        ({"cell__g_max": "1 uV"}, "T03", "cell.g_max: should be in uS (any SI prefix), not 'uV'"),
        ({"cell__g_max": 17.85}, "T03", "should be written with its unit, such as '1 uS'"),
        ({"cell__g_min": "-1 uS"}, "T03", "should be greater than or equal to 0"),
        ({"cell__states": ["2.1 uS"]}, "T03", "should list 2 to 256 conductances"),
        ({"cell__states": ["5 uS", "2.1 uS"]}, "T03", "should ascend"),
        ({"cell__states": "digital"}, "T03", "should be 'analog' or a list of conductances"),
        ({"cell__default_levels": 1}, "T03", "should be greater than or equal to 2"),
        ({"array__rows": 0}, "T03", "array.rows: should be greater than or equal to 1"),
        ({"array__rows": 25.5}, "T03", "array.rows: should be a valid integer"),
        ({"array__rows": True}, "T03", "array.rows: should be a valid integer"),
        ({"adc__bits": 1}, "T03", "adc.bits: should be greater than or equal to 2"),
        ({"adc__bitz": 8}, "T03", "adc.bitz: is not a setting of this section"),
        ({"noise__read": {"sigma_relative": 1.7}}, "T03", "less than or equal to 1 (got 1.7)"),
        ({"name": "a/b"}, "T03", "name: String should match pattern"),
        ({"schema": 2}, "T03", "schema: should be 1 (got 2)"),
    ],
)
def test_refusals(changes, code, text):
    error = refusal(**changes)
    assert error.code == f"CIMC-{code}"
    assert text in error.message


def test_all_errors_are_reported_at_once():
    error = refusal(adc__bits=99, array__rows=-1, cell__g_max="3 V", bogus=1)
    assert error.message.splitlines()[0] == "4 errors in the target description"
    assert len(error.message.splitlines()) == 5


@pytest.mark.parametrize("data", [None, [], "rram", {}, {"schema": {"a": 1}}, {1: 2}])
def test_hostile_plain_data_is_a_target_error(data):
    with pytest.raises(TargetError):
        Target.from_plain(data)

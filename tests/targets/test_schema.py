"""What a target may say, and what is refused."""

import pytest

from cimc.errors import TargetError
from cimc.targets import Target, json_schema, load_target
from cimc.targets.compatibility import EFFECTS


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
    assert target.programming_sigma_us == 0.226
    assert target.cell.states == "analog"


def test_a_relative_sigma_is_of_the_conductance_range():
    target = rram(noise__programming={"sigma_relative": 0.02})
    assert target.programming_sigma_us == pytest.approx(0.02 * 15.75)
    assert rram(noise__programming=None).programming_sigma_us == 0.0


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
        ({"cell__states": ["2 uS", "17.85 uS"]}, "T04", "should go from g_min = 2.1 uS"),
        ({"cell__states": ["2.1 uS", "17.85 uS"]}, "T04", "at most 3, what 2 states can express"),
        ({"cell__default_levels": 1}, "T03", "should be greater than or equal to 2"),
        ({"array__rows": 0}, "T03", "array.rows: should be greater than or equal to 1"),
        ({"array__rows": 25.5}, "T03", "array.rows: should be a valid integer"),
        ({"array__rows": True}, "T03", "array.rows: should be a valid integer"),
        ({"array__columns": 1}, "T04", "array.columns: should be at least 2"),
        ({"adc__bits": 1}, "T03", "adc.bits: should be greater than or equal to 2"),
        ({"adc__bitz": 8}, "T03", "adc.bitz: is not a setting of this section"),
        ({"chip__cores": None}, "T04", "chip.cores: is required beside the other count of chip"),
        ({"cells_per_weight": 3}, "T04", "should be 2 with the encoding differential-pair"),
        ({"noise__programming": {}}, "T04", "either sigma or sigma_relative (got neither)"),
        ({"noise__programming__sigma_relative": 0.1}, "T04", "sigma_relative (got both)"),
        ({"noise__read": {"sigma_relative": 1.7}}, "T03", "less than or equal to 1 (got 1.7)"),
        ({"stuck": {"at_g_min": 0.6, "at_g_max": 0.6}}, "T04", "add up to at most 1"),
        ({"sources": {"adc.bit": "x"}}, "T04", "sources.adc.bit: names no setting"),
        ({"name": "a/b"}, "T03", "name: String should match pattern"),
        ({"schema": 2}, "T03", "schema: should be 1 (got 2)"),
        ({"encoding": "bit-sliced"}, "T05", "bit-sliced weights not supported yet"),
        ({"read__drive": "bit-serial"}, "T05", "bit-serial inputs not supported yet"),
        ({"pair__placement": "twin-arrays"}, "T05", "not supported yet"),
        ({"pair__subtraction": "after-adc"}, "T05", "not supported yet"),
        ({"adc__range": "per-column"}, "T05", "not supported yet"),
        ({"adc__offset_lsb": 0.5}, "T05", "not supported yet"),
        ({"adc__noise_lsb": 0.5}, "T05", "not supported yet"),
        ({"noise__device_to_device": {"sigma_relative": 0.1}}, "T05", "not supported yet"),
        ({"noise__drift": {"nu": 0.05}}, "T05", "drift not supported yet"),
        ({"wires__word_line": "1 ohm"}, "T05", "wire resistance not supported yet"),
        ({"wires__bit_line": "1 ohm"}, "T05", "wire resistance not supported yet"),
    ],
)
def test_refusals(changes, code, text):
    error = refusal(**changes)
    assert error.code == f"CIMC-{code}"
    assert text in error.message


def test_fixed_states_with_offset_columns_are_refused():
    error = refusal(
        encoding="offset-column", cell__states=["2.1 uS", "17.85 uS"], cell__default_levels=2
    )
    assert "fixed states with offset columns not supported yet" in error.message


def test_all_errors_are_reported_at_once():
    error = refusal(adc__bits=99, array__rows=-1, cell__g_max="3 V", bogus=1)
    assert error.message.splitlines()[0] == "4 errors in the target description"
    assert len(error.message.splitlines()) == 5


def test_conductances_are_required_and_meaningless_with_signed():
    ideal = load_target("ideal")
    data = ideal.plain()
    data["encoding"] = "differential-pair"
    del data["cell"]["g_min"], data["cell"]["g_max"]
    with pytest.raises(TargetError, match=r"cell\.g_min: is required with the encoding"):
        Target.from_plain(data)
    with pytest.raises(TargetError, match="leave g_min and g_max out"):
        ideal.changed({"cell.g_max": "2 uS"})


SWITCHES = {
    "noise.programming": {"sigma": "1 uS"},
    "noise.device_to_device": {"sigma": "1 uS"},
    "noise.read": {"sigma_relative": 0.1},
    "noise.drift": {"nu": 0.1},
    "stuck": {"at_g_min": 0.1},
    "wires": {"bit_line": "1 ohm"},
    "read.dac_bits": 8,
    "adc.bits": 8,
    "adc.offset_lsb": 0.1,
    "adc.noise_lsb": 0.1,
    "pair.placement": "twin-arrays",
    "pair.subtraction": "after-adc",
    "read.drive": "bit-serial",
}


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda e: e.title)
def test_every_effect_is_refused_where_the_table_says_no(effect):
    path = ".".join(map(str, effect.path))
    with pytest.raises(TargetError, match=f"{effect.title} is not valid with encoding signed"):
        load_target("ideal").changed({path: SWITCHES[path]})


@pytest.mark.parametrize("data", [None, [], "rram", {}, {"schema": {"a": 1}}, {1: 2}])
def test_hostile_plain_data_is_a_target_error(data):
    with pytest.raises(TargetError):
        Target.from_plain(data)


def test_json_schema_names_every_section_and_refuses_unknown_keys():
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert {"array", "cell", "adc", "noise", "sources"} <= schema["properties"].keys()
    assert "g_min" in schema["$defs"]["Cell"]["properties"]

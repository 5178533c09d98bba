"""Rules between settings: what contradicts is refused, what is only unusual is not."""

import pytest
from pydantic import TypeAdapter

from cimc.targets import Target
from cimc.targets.rules import RULES
from tests.targets.factories import changed, plain, refusal, rules_broken

#: Encoding, settings, and the message (None: no rule is broken).
CASES = [
    ("differential-pair", {"cell.g_max": "1 uS"}, "cell.g_max: should be greater than cell.g_min"),
    ("bit-sliced", {"cell.states": ["2 uS", "20 uS"]}, "should go from g_min = 1.0 uS to g_max"),
    ("differential-pair", {"cell.states": ["1 uS", "20 uS"]}, "at most 3, what 2 states can"),
    (
        "differential-pair",
        {"cell.states": ["1 uS", "20 uS"], "cell.default_levels": None},
        "cell.default_levels: is required with a list of states",
    ),
    ("differential-pair", {"array.columns": 1}, "array.columns: should be at least 2 with"),
    ("differential-pair", {"array.columns": 2}, None),
    ("differential-pair", {"array.columns": 1, "pair.placement": "twin-arrays"}, None),
    (
        "differential-pair",
        {"pair.placement": "twin-arrays", "chip": {"cores": 1, "arrays_per_core": 1}},
        "pair.placement: needs at least 2 arrays",
    ),
    ("differential-pair", {"chip.cores": 4}, "chip.arrays_per_core: is required beside"),
    ("differential-pair", {"cells_per_weight": 3}, "should be 2 with the encoding"),
    ("differential-pair", {"cells_per_weight": 2}, None),
    ("offset-column", {"cells_per_weight": 2}, "should be 1 with the encoding offset-column"),
    (
        "offset-column",
        {"cell.states": ["1 uS", "20 uS"], "cell.default_levels": 2},
        "cell.states: should be at least 3 with the encoding offset-column",
    ),
    (
        "offset-column",
        {"cell.states": ["1 uS", "9 uS", "20 uS"], "cell.default_levels": 3},
        None,
    ),
    # spares
    ("differential-pair", {"array.spare_rows": 63, "array.spare_columns": 62}, None),
    ("differential-pair", {"array.spare_rows": 64}, "array.spare_rows: should be at most 63"),
    ("bit-sliced", {"array.spare_columns": 61}, "array.spare_columns: should be at most 60"),
    ("offset-column", {"array.spare_columns": 63}, "array.spare_columns: should be at most 62"),
    (
        "differential-pair",
        {"array.rows": None, "array.spare_rows": 1},
        "array.spare_rows: needs arrays with a number of rows",
    ),
    (
        "differential-pair",
        {"chip": {"cores": 2, "arrays_per_core": 2, "spare_arrays": 3}},
        None,
    ),
    (
        "differential-pair",
        {
            "chip": {"cores": 2, "arrays_per_core": 2, "spare_arrays": 3},
            "pair.placement": "twin-arrays",
        },
        "chip.spare_arrays: should be at most 2 of 4",
    ),
    ("differential-pair", {"chip": {"spare_arrays": 1}}, "chip.spare_arrays: needs a chip with"),
    # bit slices
    ("bit-sliced", {"slices": None}, "slices: is required with the encoding bit-sliced"),
    ("bit-sliced", {"cells_per_weight": 2}, "should be 4 with the encoding bit-sliced"),
    ("bit-sliced", {"cells_per_weight": 4}, None),
    ("bit-sliced", {"array.columns": 3}, "array.columns: should be at least 4"),
    ("bit-sliced", {"array.columns": 4}, None),
    ("bit-sliced", {"cell.states": ["1 uS", "20 uS"]}, None),
    (
        "bit-sliced",
        {"cell.states": ["1 uS", "20 uS"], "slices.count": 3},
        "cell.default_levels: should be 8, what 3 slices have",
    ),
    ("bit-sliced", {"cell.states": ["1 uS", "9 uS", "20 uS"]}, "cell.states: should be 2"),
    (
        "bit-sliced",
        {"cell.states": ["1 uS", "20 uS"], "slices.multipliers": "conductance"},
        "cell.states: should be 'analog'",
    ),
    ("bit-sliced", {"slices.multipliers": "conductance"}, None),
    # I-V curve
    ("differential-pair", {"cell.nonlinearity": {}}, "either sinh or polynomial"),
    (
        "differential-pair",
        {"cell.nonlinearity": {"sinh": "1 V", "polynomial": [1.0]}},
        "either sinh or polynomial",
    ),
    ("differential-pair", {"cell.nonlinearity": {"polynomial": [1.0, -1]}}, "not add up to 0"),
    ("differential-pair", {"cell.nonlinearity": {"polynomial": [0.9, 0.1]}}, None),
    ("differential-pair", {"cell.nonlinearity": {"sinh": "2.5 mV"}}, None),
    (
        "differential-pair",
        {"cell.nonlinearity": {"sinh": "2.4 mV"}},
        "nonlinearity.sinh: should be at least read.v_read / 80 = 0.0025 V",
    ),
    # inputs and converters
    ("differential-pair", {"read": {"drive": "bit-serial"}}, "read.dac_bits: is required with"),
    ("differential-pair", {"read": {"drive": "pulse-width"}}, "read.dac_bits: is required with"),
    ("differential-pair", {"read": {"signed_inputs": "shift"}}, "required with signed_inputs"),
    ("differential-pair", {"read": {"signed_inputs": "two-phase"}}, None),
    ("differential-pair", {"read": {"dac_bits": None}}, None),
    ("differential-pair", {"adc": {"offset_lsb": 1.0}}, "adc.offset_lsb: is an error of a conv"),
    ("differential-pair", {"adc": {"gain_sigma": 0.1}}, "adc.gain_sigma: is an error of a conv"),
    ("differential-pair", {"adc": {"noise_lsb": 0.1}}, "adc.noise_lsb: is an error of a conv"),
    ("differential-pair", {"adc.columns_per_adc": 32}, None),
    (
        "differential-pair",
        {"adc.columns_per_adc": 33},
        "adc.columns_per_adc: should be at most 32",
    ),
    ("offset-column", {"adc.columns_per_adc": 64}, None),
    (
        "differential-pair",
        {"adc.columns_per_adc": 64, "pair.subtraction": "after-adc"},
        None,
    ),
    (
        "bit-sliced",
        {"adc.columns_per_adc": 17, "slices.multipliers": "conductance"},
        "adc.columns_per_adc: should be at most 16",
    ),
    ("bit-sliced", {"adc.columns_per_adc": 64}, None),
    (
        "differential-pair",
        {"adc.columns_per_adc": 8, "adc.range": "per-column"},
        "adc.range: should not be per-column where 8 columns share",
    ),
    ("differential-pair", {"adc.range": "per-column"}, None),
    # noise
    ("differential-pair", {"noise.programming": {}}, "one of sigma, sigma_relative"),
    (
        "differential-pair",
        {"noise.programming": {"sigma": "1 uS", "sigma_log": 0.1}},
        "one of sigma, sigma_relative, sigma_log and polynomial",
    ),
    ("differential-pair", {"noise.programming": {"polynomial": [-0.1, 0.2]}}, None),
    (
        "differential-pair",
        {"noise.programming": {"polynomial": [-0.3, 0.2]}},
        "noise.programming.polynomial: should not be below 0 at every conductance",
    ),
    (
        "differential-pair",
        {"noise.drift": {"nu": 0.1, "nu_limits": [0.2, 0.1]}},
        "noise.drift.nu_limits: should ascend",
    ),
    (
        "differential-pair",
        {"noise.drift": {"nu": 0.1, "nu_sigma_limits": [-0.1, 0.1]}},
        "nu_sigma_limits: should not allow a negative spread",
    ),
    ("differential-pair", {"noise.drift": {"nu": 0.1, "nu_sigma": -0.0059}}, None),
    ("differential-pair", {"read.at": "1 d"}, None),
    (
        "differential-pair",
        {"noise.relaxation": {"rest": "21 uS"}},
        "noise.relaxation.rest: should be at most cell.g_max = 20.0 uS",
    ),
    ("differential-pair", {"noise.relaxation": {"rest": "0 uS"}}, None),
    (
        "differential-pair",
        {"stuck": {"at_g_min": 0.6, "at_g_max": 0.6}},
        "stuck: at_g_min and at_g_max should add up to at most 1",
    ),
    (
        "differential-pair",
        {"lines": {"open_bit_line": 0.6, "stuck_bit_line": 0.6}},
        "lines: open_bit_line and stuck_bit_line should add up",
    ),
    ("differential-pair", {"lines": {"open_bit_line": 0.6, "stuck_word_line": 0.6}}, None),
    (
        "differential-pair",
        {"array.rows": None, "wires.word_line": "1 ohm"},
        "wires: needs arrays with a number of rows and columns",
    ),
    (
        "differential-pair",
        {"array.columns": None, "lines": {"open_bit_line": 0.1}},
        "lines: needs arrays with a number of rows and columns",
    ),
    (
        "differential-pair",
        {"array.columns": None, "noise.correlated": {"sigma_relative": 0.1}},
        "noise.correlated: needs arrays with a number of rows and columns",
    ),
    (
        "differential-pair",
        {"array.columns": None, "noise.correlated": {"wafer_sigma_relative": 0.1}},
        None,
    ),
    (
        "differential-pair",
        {"array.rows": 100_000, "noise.correlated": {"sigma_relative": 0.1}},
        "noise.correlated.length: should be at least 298 on 100000 lines",
    ),
    (
        "differential-pair",
        {"array.rows": 8192, "noise.correlated": {"sigma_relative": 0.1, "length": 1.0}},
        None,
    ),
    (
        "differential-pair",
        {"noise.thermal": {"temperature": "600 K", "ea_hrs": "0.5 eV"}},
        "noise.thermal.ea_hrs: changes conductance by a factor of 1.58e+04 at 600 K",
    ),
    (
        "differential-pair",
        {"noise.thermal": {"temperature": "600 K", "tc_lrs_per_k": -0.01}},
        "noise.thermal.tc_lrs_per_k: changes conductance by a factor of 0 at 600 K",
    ),
    ("differential-pair", {"noise.thermal": {"temperature": "400 K", "ea_hrs": "0.5 eV"}}, None),
    ("differential-pair", {"array.rows": None, "array.columns": None}, None),
    (
        "differential-pair",
        {"array.rows": 2049, "wires.word_line": "1 ohm"},
        "rows",
    ),
    ("differential-pair", {"array.rows": 2048, "wires.word_line": "1 ohm"}, None),
    ("differential-pair", {"sources": {"adc.bit": "x"}}, "sources.adc.bit: names no setting"),
    ("differential-pair", {"sources": {"noise.read.one_over_f.t_read": "x"}}, None),
    ("signed", {"cell": {"g_max": "2 uS"}}, "leave g_min and g_max out"),
    ("signed", {"cell": {"states": ["0 uS", "1 uS"], "default_levels": 2}}, "should be 'analog'"),
]


@pytest.mark.parametrize(("encoding", "changes", "text"), CASES)
def test_rules(encoding, changes, text):
    found = rules_broken(changed(plain(encoding), changes))
    if text is None:
        assert found == []
    else:
        assert len(found) == 1
        assert text in found[0]


@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column", "bit-sliced"])
def test_conductances_are_required(encoding):
    data = plain(encoding)
    del data["cell"]["g_max"]
    assert f"cell.g_max: is required with the encoding {encoding}" in rules_broken(data)


def test_every_rule_has_a_case_that_breaks_it_and_a_line_in_the_documentation():
    alone = set()
    for encoding, changes, text in CASES:
        if text is None:
            continue
        target = Target.model_construct(**without_validation(changed(plain(encoding), changes)))
        alone |= {rule.__name__ for rule in RULES if list(rule(target))}
    assert alone >= {r.__name__ for r in RULES} - {"conductances_are_given"}
    assert all(rule.__doc__ for rule in RULES)


def without_validation(data):
    """Return the validated sections of a description, without the rules between them."""
    fields = {}
    for name, info in Target.model_fields.items():
        key = info.alias or name
        if key in data and data[key] is not None:
            fields[name] = TypeAdapter(info.annotation).validate_python(data[key])
    return fields


def test_positions_of_broken_rules(tmp_path):
    data = changed(plain(), {"adc.range": "per-column", "adc.columns_per_adc": 8})
    error = refusal(tmp_path, data)
    lines = (tmp_path / "t.yaml").read_text().splitlines()
    number = next(i for i, line in enumerate(lines, 1) if "range:" in line)
    assert f"t.yaml:{number}:10: adc.range: should not be per-column" in error.message

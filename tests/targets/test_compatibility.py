"""The validity table: every non-ideality with every encoding and drive, at load."""

import itertools

import pytest

from cimc.targets import Target
from cimc.targets.compatibility import (
    DRIVES,
    EFFECTS,
    ENCODINGS,
    FIXED,
    FLUCTUATIONS,
    SWITCHES,
    Effect,
    switched_on,
)
from cimc.targets.schema import check
from tests.targets.factories import changed, from_file, plain, refusal, rules_broken

#: What switches each row of the table on, by its title.
SETTINGS = {
    "input converter": {"read.dac_bits": 8},
    "output converter": {"adc.bits": 8},
    "converter offset": {"adc.offset_lsb": 0.5},
    "converter gain mismatch": {"adc.gain_sigma": 0.01},
    "converter noise": {"adc.noise_lsb": 0.5},
    "I-V curve": {"cell.nonlinearity": {"sinh": "0.3 V"}},
    "programming noise": {"noise.programming": {"sigma": "0.2 uS"}},
    "device-to-device variation": {"noise.device_to_device": {"sigma_lrs": 0.1}},
    "correlated variation": {"noise.correlated": {"sigma_relative": 0.02}},
    "read noise": {"noise.read": {"sigma_relative": 0.01}},
    "1/f noise": {"noise.read": {"one_over_f": {"amplitude": 0.01}}},
    "random telegraph noise": {"noise.read": {"telegraph": {"amplitude": 0.05}}},
    "conductance against temperature": {"noise.thermal": {"temperature": "350 K"}},
    "Johnson noise": {"noise.thermal": {"bandwidth": "10 MHz"}},
    "drift": {"noise.drift": {"nu": 0.05}},
    "log-time relaxation": {"noise.relaxation": {"rate": 0.01}},
    "stuck cells": {"stuck": {"at_g_min": 0.01}},
    "broken lines": {"lines": {"open_bit_line": 0.01}},
    "wire resistance": {"wires.bit_line": "1 ohm"},
    "twin arrays": {"pair.placement": "twin-arrays"},
    "subtraction after the ADC": {"pair.subtraction": "after-adc"},
    "bit-serial inputs": {"read.drive": "bit-serial"},
    "pulse-width inputs": {"read.drive": "pulse-width"},
    "two-phase or shifted inputs": {"read.signed_inputs": "two-phase"},
    "bit slices": {"slices": {"count": 4}},
}
#: Every row with every encoding and drive; a row that is a drive only with that drive.
ROWS = [
    (effect, encoding, drive)
    for effect, encoding, drive in itertools.product(EFFECTS, ENCODINGS, DRIVES)
    if effect.path != ("read", "drive") or drive in effect.drives
]


def with_effect(effect: Effect, encoding: str, drive: str) -> dict[str, object]:
    """Return a description of this encoding, drive and effect; a drive keeps its own row."""
    data = changed(plain(encoding, drive), SETTINGS[effect.title])
    if effect.path == ("read", "drive"):
        data["read"].setdefault("dac_bits", 8)
    return data


def test_every_row_has_its_setting():
    assert [e.title for e in EFFECTS] == list(SETTINGS)
    assert len(SWITCHES) == len(set(SWITCHES)) == 19
    assert set(SWITCHES) > FIXED | FLUCTUATIONS


def test_what_the_table_says():
    """Written down a second time: everything is analog, but for these rows."""
    analog = {"differential-pair", "offset-column", "bit-sliced"}
    encodings = {
        "twin arrays": {"differential-pair"},
        "subtraction after the ADC": {"differential-pair"},
        "bit slices": {"bit-sliced"},
    }
    drives = {
        "I-V curve": {"parallel"},  # one pulse height: f(1) = 1
        "bit-serial inputs": {"bit-serial"},
        "pulse-width inputs": {"pulse-width"},
    }
    for effect in EFFECTS:
        assert effect.encodings == encodings.get(effect.title, analog), effect.title
        assert effect.drives == drives.get(effect.title, set(DRIVES)), effect.title


@pytest.mark.parametrize(
    ("effect", "encoding", "drive"), ROWS, ids=lambda v: v.title if isinstance(v, Effect) else v
)
def test_a_pair_is_refused_exactly_where_the_table_says_no(effect, encoding, drive, tmp_path):
    data = with_effect(effect, encoding, drive)
    if encoding in effect.encodings and drive in effect.drives:
        assert rules_broken(data) == []
        return
    error = refusal(tmp_path, data)
    lines = [
        line for line in error.message.splitlines() if f"{effect.title} is not valid with" in line
    ]
    assert len(lines) == 1, error.message
    where, line, column, text = lines[0].split(":", 3)
    assert where.endswith("t.yaml")
    assert int(line) > 1
    assert int(column) > 1
    assert text.strip().startswith(".".join(effect.path))
    written = (tmp_path / "t.yaml").read_text().splitlines()[int(line) - 1]
    shown = f"{effect.path[-1]}:" in written or line_below(tmp_path, int(line), effect.path[-1])
    assert shown, "the position is that of the setting"


def line_below(folder, line: int, key: str) -> bool:
    """Whether a section that starts at this line is the one of the key above it."""
    return (folder / "t.yaml").read_text().splitlines()[line - 2].strip() == f"{key}:"


@pytest.mark.parametrize("effect", [e for e in EFFECTS if e.name], ids=lambda e: e.title)
def test_a_valid_pair_loads_or_says_that_it_comes_later(effect, tmp_path):
    """Loads, unless a row of unsupported says so; and then its switch is the only one more."""
    data = with_effect(effect, "differential-pair", "parallel")
    target, found = check(data)
    if target is None:
        assert {problem.code for problem in found} == {"CIMC-T05"}
        assert refusal(tmp_path, data).code == "CIMC-T05"
        return
    expected = {"dac", "adc", effect.name}
    if effect.name == "johnson":
        expected |= {"temperature"}  # they share a section
    assert switched_on(from_file(tmp_path, data)) == expected


def test_a_plain_target_switches_nothing_on():
    data = plain()
    del data["read"], data["adc"]
    assert switched_on(Target.from_plain(data)) == frozenset()

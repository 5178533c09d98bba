"""What the format has and the compiler cannot do yet is refused, never ignored."""

import pytest

from cimc.targets import schema
from cimc.targets.compatibility import EFFECTS
from cimc.targets.unsupported import NOT_YET, UNSUPPORTED
from tests.targets.factories import changed, plain
from tests.targets.test_compatibility import SETTINGS

#: What uses each row that is not a non-ideality, by what it says; grows and shrinks with it.
USES = {
    "bit-sliced weights": ("bit-sliced", {}),
    "fixed states with offset columns": ("offset-column", {"cell.states": ["1 uS", "20 uS"],
                                                           "cell.default_levels": 2}),
    "bit-serial and pulse-width inputs": ("differential-pair", {"read.drive": "bit-serial"}),
    "pairs in twin arrays": ("differential-pair", {"pair.placement": "twin-arrays"}),
    "subtraction after the converter": ("differential-pair", {"pair.subtraction": "after-adc"}),
    "other converter ranges": ("differential-pair", {"adc.range": "per-layer"}),
    "converter offset": ("differential-pair", {"adc.offset_lsb": 0.5}),
    "converter noise": ("differential-pair", {"adc.noise_lsb": 0.5}),
    "converter gain mismatch": ("differential-pair", {"adc.gain_sigma": 0.01}),
    "two-phase and shifted inputs": ("differential-pair", {"read.signed_inputs": "shift"}),
    "wire resistance around cells with an I-V curve": (
        "differential-pair",
        {"wires.bit_line": "1 ohm", "cell.nonlinearity": {"sinh": "0.3 V"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", UNSUPPORTED, ids=lambda row: row.what)
def test_every_row_refuses_what_it_says(row):
    if row.what in SETTINGS and row.what not in USES:
        encoding, settings = "differential-pair", SETTINGS[row.what]
    elif row.what in USES:
        encoding, settings = USES[row.what]
    else:
        pytest.skip("its owner tests it")
    _, found = schema.check(changed(plain(encoding), settings))
    messages = [p.message for p in found if p.code == "CIMC-T05"]
    assert f"{row.what} not supported yet; supported: {row.instead}" in messages


def test_rows_are_of_non_idealities_that_exist():
    assert {effect.name for effect in EFFECTS} >= NOT_YET

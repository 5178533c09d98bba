"""Written quantities."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.targets import units


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("2.1 uS", "uS", 2.1),
        ("0.0021 mS", "uS", 2.1),  # exact: decimal, not 0.0021 * 1e3
        ("2100 nS", "uS", 2.1),
        ("2.1e-6 S", "uS", 2.1),
        ("17.85uS", "uS", 17.85),
        ("2.1 µS", "uS", 2.1),
        ("100 ns", "ns", 100.0),
        ("1 ohm", "ohm", 1.0),
        ("1.5 kohm", "ohm", 1500.0),
        ("1 Ω", "ohm", 1.0),
        ("200 mV", "V", 0.2),
        ("1 ms", "ns", 1e6),
        ("1 m2", "um2", 1e12),
        ("1 mm2", "um2", 1e6),
        ("1 um²", "um2", 1.0),
        ("3 pJ", "pJ", 3.0),
        ("1 s", "s", 1.0),
        ("1 min", "s", 60.0),
        ("1.5 h", "s", 5400.0),
        ("1 d", "s", 86_400.0),
        ("1d", "s", 86_400.0),
        ("1 month", "s", 2_592_000.0),
        ("2 months", "s", 5_184_000.0),
        ("1 y", "s", 31_536_000.0),
        ("300 K", "K", 300.0),
        ("5 MHz", "Hz", 5e6),
        ("60 meV", "eV", 0.06),
    ],
)
def test_reads(text, unit, value):
    assert units.parse(text, unit) == value


@pytest.mark.parametrize(
    "text", ["", "2.1", "uS", "2.1 uV", "2,1 uS", "2.1 us", "nan uS", "1 2 uS", "1 S uS", "0x1 uS"]
)
def test_refuses(text):
    with pytest.raises(ValueError, match="should be"):
        units.parse(text, "uS")


@pytest.mark.parametrize(("text", "unit"), [("1 d", "ns"), ("1 D", "s"), ("1 h", "V")])
def test_long_times_are_times_and_spelled_right(text, unit):
    with pytest.raises(ValueError, match="should be in"):
        units.parse(text, unit)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.floats(0, 1e12, allow_nan=False),
    st.sampled_from(["uS", "V", "ohm", "ns", "pJ", "um2", "s", "K", "Hz", "eV"]),
)
def test_written_quantities_read_back_to_the_same_float(value, unit):
    assert units.parse(units.written(value, unit), unit) == value

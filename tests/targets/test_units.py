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


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.floats(0, 1e12, allow_nan=False),
    st.sampled_from(["uS", "V", "ohm", "ns", "pJ", "um2", "s"]),
)
def test_written_quantities_read_back_to_the_same_float(value, unit):
    assert units.parse(units.written(value, unit), unit) == value

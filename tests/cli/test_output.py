import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cimc.cli.output import decibels, emit_json, finite, percent, progress_bar, table, warn

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(plain)
def test_json_never_holds_nan_or_infinity(value: object) -> None:
    json.dumps(finite(value), allow_nan=False)


def test_one_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"a": math.nan, "b": (1.0, -math.inf), "c": {"d": 2}})
    assert capsys.readouterr().out == '{"a": null, "b": [1.0, null], "c": {"d": 2}}\n'


def test_tables_and_warnings_go_to_stderr_without_colour(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table("title", ["name", "x"], [["[bold]", "1"]])
    warn(["mind [red]the gap[/red]"])
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert "[bold]" in err
    assert "mind [red]the gap[/red]" in err


def test_no_bars_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as progress:
        progress("work", 0.5)
    assert capsys.readouterr() == ("", "")


def test_figures() -> None:
    assert (percent(None), percent(0.9936)) == ("-", "99.36 %")
    assert (decibels(None), decibels(math.inf), decibels(12.34)) == ("-", "exact", "12.3 dB")

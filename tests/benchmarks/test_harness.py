"""The harness says what it measured; the table of measurements is complete."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.benchmarks import BENCHMARKS
from tests.benchmarks import __main__ as table
from tests.benchmarks.harness import Result, child, fastest


def test_a_result_is_one_line_with_the_agreed_keys() -> None:
    result = Result("lloyd", 2.04567, "x", 4.0, {"values": 10, "seconds": 0.123456})
    assert "\n" not in result.line()
    assert json.loads(result.line()) == {
        "name": "lloyd",
        "value": 2.046,
        "unit": "x",
        "bar": 4.0,
        "passed": True,
        "config": {"values": 10, "seconds": 0.1235},
    }


@pytest.mark.parametrize(("value", "also"), [(4.1, True), (1.0, False)])
def test_every_bar_has_to_hold(value: float, also: bool) -> None:
    assert not Result("lloyd", value, "x", 4.0, {}, also=also).passed


def test_the_fastest_of_several_turns_counts() -> None:
    waits = iter([0.03, 0.001, 0.03])
    best = fastest({"a": lambda: time.sleep(next(waits)), "b": lambda: None}, 3)
    assert best["b"] < best["a"] < 0.03


def test_a_child_reports_its_own_memory() -> None:
    # In a process of its own: until a child is replaced by its program, the kernel counts its
    # parent's pages as its own, and a test worker may be larger than what is measured.
    script = (
        "import sys; from tests.benchmarks.harness import child\n"
        "large = child([sys.executable, '-c', 'x = bytearray(300 * 2**20); print(len(x))'])\n"
        "small = child([sys.executable, '-c', 'print(1)'])\n"
        "print(large.stdout.strip(), large.peak_rss_mib, small.peak_rss_mib)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    length, large, small = map(float, done.stdout.split())
    assert length == 300 * 2**20
    assert 300 < large < 400
    assert small < 100, "not the largest child so far"


def test_a_child_that_fails_is_an_error_with_what_it_said() -> None:
    with pytest.raises(RuntimeError, match=r"exit 3: .*no such thing"):
        child([sys.executable, "-c", "import sys; sys.stderr.write('no such thing'); sys.exit(3)"])


def test_every_measurement_has_its_module() -> None:
    for module in BENCHMARKS.values():
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        with open(spec.origin, encoding="utf-8") as file:
            assert "\ndef measure() -> Result:" in file.read()


def test_one_measurement_takes_its_place_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "FOLDER", tmp_path)
    page = tmp_path / f"{table.TABLE}.md"
    page.write_text('| what |\n| --- |\n| a | 1 s |\n\n```json\n{"name": "a", "value": 1}\n```\n')
    table.update(Result("b", 3.0, "s", 2.0, {}))
    table.update(Result("a", 1.5, "s", 2.0, {}))
    lines = page.read_text().splitlines()
    assert lines[2:4] == ["| a | 1.5 s | ≤ 2 s | yes |  |", "| b | 3 s | ≤ 2 s | no |  |"]
    assert [json.loads(line)["value"] for line in lines if line.startswith("{")] == [1.5, 3.0]

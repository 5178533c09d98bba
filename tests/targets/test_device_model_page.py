"""docs/device-model.md has every non-ideality, with settings, code and tests that exist."""

import re
from pathlib import Path

import pytest

from cimc.targets.compatibility import EFFECTS, SWITCHES
from cimc.targets.problems import dotted

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "device-model.md").read_text(encoding="utf-8")
#: Cells of the row of each switch: setting, what it does, code, ...
ROWS = {
    row[0]: row[1:]
    for row in re.findall(r"^\| `([a-z-]+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|", PAGE, re.M)
}


def test_every_switch_has_a_row_and_no_other():
    assert sorted(ROWS) == sorted(SWITCHES)


@pytest.mark.parametrize("effect", [e for e in EFFECTS if e.name], ids=lambda e: e.name)
def test_the_setting_of_a_row_switches_it_on(effect):
    settings = re.findall(r"`([a-z_.]+)`", ROWS[effect.name][0])
    assert any((s + ".").startswith(dotted(effect.path) + ".") for s in settings)


@pytest.mark.parametrize("name", SWITCHES)
def test_the_code_of_a_row_exists_and_a_test_beside_it(name):
    modules = re.findall(r"`(\w+/\w+)`", ROWS[name][2])
    assert modules
    for module in modules:
        assert (ROOT / "cimc" / f"{module}.py").exists()
    tested = [m for m in modules if m != "executor/mismatch"]  # test_converter_errors.py
    for package, module in (m.split("/") for m in tested):
        assert (ROOT / "tests" / package / f"test_{module}.py").exists()


def test_files_named_in_the_text_exist():
    for path in re.findall(r"`((?:tests|cimc|targets|docs)/[\w/]+\.py)`", PAGE):
        assert (ROOT / path).exists()
    for module in re.findall(r"`(device/\w+|executor/\w+)`", PAGE):
        assert (ROOT / "cimc" / f"{module}.py").exists()

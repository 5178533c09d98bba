"""What the README shows exists and works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import cimc
from cimc.cli import main
from cimc.targets import list_targets
from tests.end_to_end.build import model, node, normal

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = ("getting-started.md", "sensitivity.md")
PAGES = [README, *((ROOT / "docs" / page).read_text(encoding="utf-8") for page in GUIDE)]


def shell_lines(pages: list[str] = PAGES) -> list[str]:
    """Return every command line shown in a shell block."""
    blocks = re.findall(r"```sh\n(.*?)```", "\n".join(pages).replace("\\\n", ""), re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line]


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("cimc ")])
def test_every_command_shown_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    command.make_context(command.name, words, resilient_parsing=False)


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("make ")])
def test_every_make_target_shown_exists(line: str) -> None:
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line.split()[1] in rules


def test_every_verb_shown_is_public() -> None:
    for verb in re.findall(r"\bcimc\.(\w+)\(", README):
        assert verb in cimc.__all__
        assert callable(getattr(cimc, verb))


@pytest.fixture
def tour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the tour: a small network, calibration and test data."""
    weights = {"w": normal(4, 1, 3, 3, seed=1), "v": normal(4, 3, seed=2)}
    nodes = [
        node("Conv", ["x", "w"], "h"),
        node("Relu", ["h"], "r"),
        node("GlobalAveragePool", ["r"], "p"),
        node("Flatten", ["p"], "f"),
        node("MatMul", ["f", "v"], "y"),
    ]
    onnx.save(model(nodes, {"x": ["batch", 1, 8, 8]}, ["y"], weights), tmp_path / "model.onnx")
    images, labels = normal(16, 1, 8, 8, seed=3), np.arange(16) % 3
    np.savez(tmp_path / "calibration.npz", x=images)
    np.savez(tmp_path / "train.npz", x=normal(64, 1, 8, 8, seed=4))
    np.savez(tmp_path / "test.npz", x=images, labels=labels)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_tour_of_the_readme_runs(tour: Path) -> None:
    """Every command, with fewer chips; the gate may fail, nothing else."""
    lines = [w for w in map(shlex.split, shell_lines([README])) if w[0] == "cimc"]
    for words in lines:
        few = ["--chips", "2"] if words[1] in ("verify", "sensitivity") else []
        result = CliRunner().invoke(main, words[1:] + few)
        assert result.exit_code in ((0, 1) if words[1] == "verify" else (0,)), result.output
    made = {"model.cim", "trained.cim", "cost.svg", "cost.json", "array0.csv", "outputs.npz"}
    made |= {"chip.safetensors", "chip.cim"}
    assert made <= {path.name for path in tour.iterdir()}


def test_the_python_of_the_readme_runs(tour: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(code.replace("chips=50", "chips=2"), {})
    reference, mean, low = map(float, capsys.readouterr().out.split())
    assert 0 <= low <= mean <= 1
    assert 0 <= reference <= 1


def test_the_targets_named_are_those_that_are_shipped() -> None:
    (listed,) = re.findall(r"\*\*Targets\*\*: (.*?), or", README, re.DOTALL)
    named = re.findall(r"`([a-z0-9-]+)`", listed)
    assert sorted(named) == sorted(list_targets())


def test_every_link_leads_somewhere() -> None:
    for page in (README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        for link in re.findall(r"\]\(([^)#]+)\)", page):
            assert (ROOT / link).exists()


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cimc", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    for verb in ("compile", "recompile", "verify", "sensitivity", "run", "inspect", "target"):
        assert re.search(rf"^  {verb}\b", done.stdout, re.MULTILINE)

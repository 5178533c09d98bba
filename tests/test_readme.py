"""What the README shows exists and works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import cimc
from cimc.cli import main
from cimc.targets import load_target

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")]


def shell_lines() -> list[str]:
    """Return every command line shown in a shell block."""
    blocks = re.findall(r"```sh\n(.*?)```", "\n".join(PAGES), re.DOTALL)
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


def test_every_target_named_is_shipped() -> None:
    (listed,) = re.findall(r"\*\*Targets\*\*: (.*?), or", README, re.DOTALL)
    for name in re.findall(r"`([a-z0-9-]+)`", listed):
        assert load_target(name).name == name


def test_every_link_leads_somewhere() -> None:
    for page in (README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        for link in re.findall(r"\]\(([^)#]+)\)", page):
            assert (ROOT / link).exists()


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cimc", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    for verb in ("compile", "verify", "run", "inspect", "target"):
        assert re.search(rf"^  {verb}\b", done.stdout, re.MULTILINE)

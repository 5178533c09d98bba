"""Commands load what they use: an import that nothing needs costs as much as the work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cimc.faults import sample, save_fault_map
from cimc.program import read
from tests.cli.conftest import Files

#: Reading models, drawing, training and assignments: none is needed to go from program to program.
UNUSED = (
    *("onnx", "onnx_ir", "onnxruntime", "sympy", "matplotlib", "networkx"),
    *("scipy.optimize", "scipy.sparse", "cimc.frontends", "cimc.training.loop"),
)


@pytest.fixture(scope="module")
def chip(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fault map of a chip."""
    path = tmp_path_factory.mktemp("imports") / "chip.safetensors"
    save_fault_map(sample(read(Path(files.program)), rate=0.1, seed=4), path)
    return path


def loaded(*args: object) -> set[str]:
    """Return which of ``UNUSED`` are there after a command in a process of its own."""
    code = (
        "import sys\nfrom cimc.cli import main\n"
        f"try:\n    main({[str(a) for a in args]!r})\nexcept SystemExit as e:\n"
        "    assert not e.code, e.code\n"
        f"print('loaded', *(m for m in {UNUSED!r} if m in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_nothing_is_tidied_up_at_exit() -> None:
    """Half a second of a command, for memory that the system takes back anyway."""
    code = (
        "from cimc.cli import main\n"
        "class Cycle:\n    def __del__(self):\n        print('tidied up')\n"
        "try:\n    main(['version'])\nexcept SystemExit:\n    pass\n"
        "one = Cycle()\none.self = one\ndel one\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout
    assert "tidied up" not in done.stdout


def test_recompile(files: Files, chip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.cim"
    args = ("recompile", files.program, "--fault-map", chip, "-o", out, "--method")
    assert loaded(*args, "nearest") == set()
    assert loaded(*args, "feedback") <= {"scipy.optimize", "scipy.sparse"}


def test_run(files: Files, tmp_path: Path) -> None:
    assert loaded("run", files.program, "--data", files.data, "-o", tmp_path / "y.npz") == set()


def test_verify(files: Files) -> None:
    assert loaded("verify", files.program, "--chips", 2) == set()


def test_faults(files: Files, chip: Path) -> None:
    assert loaded("faults", "check", chip, files.program) == set()
    assert loaded("faults", "show", chip) == set()

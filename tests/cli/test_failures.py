"""Whatever goes wrong is one clear message and the right exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from cimc.cli.failures import CimcGroup
from cimc.errors import (
    CimcError,
    FaultMapError,
    FitError,
    InternalError,
    ModelError,
    ProgramError,
    TargetError,
    UsageError,
)
from tests.cli.conftest import Call


def run(error: BaseException, *args: str) -> int:
    """Return the exit code of a command that raises."""

    @click.group(cls=CimcGroup)
    @click.option("--traceback", is_flag=True)
    def group(traceback: bool) -> None:
        del traceback

    @group.command("go")
    @click.option("--json", is_flag=True)
    def go(json: bool) -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        group.main(list(args) or ["go"])
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UsageError, 2),
        (ModelError, 3),
        (TargetError, 4),
        (FaultMapError, 4),
        (ProgramError, 4),
        (FitError, 5),
        (InternalError, 70),
    ],
)
def test_each_error_has_its_exit_code(
    kind: type[CimcError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(kind("CIMC-X01", "went wrong", where="node 'a'", hint="the other way")) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error[CIMC-X01]: went wrong\n  at node 'a'\n  try the other way\n"


def test_json_has_the_error_and_stderr_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ModelError("CIMC-X01", 'a "quote"', where="w"), "go", "--json") == 3
    out, err = capsys.readouterr()
    assert out == (
        '{"error": {"code": "CIMC-X01", "message": "a \\"quote\\"", "where": "w", "hint": ""}}\n'
    )
    assert err.startswith("error[CIMC-X01]")


def test_an_unforeseen_error_shows_no_traceback_unless_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(IndexError("list\nindex")) == 70
    _, err = capsys.readouterr()
    assert err == (
        "error[CIMC-I19]: internal error: IndexError: list index\n"
        "  try 'cimc --traceback ...' for the traceback, to go with a bug report\n"
    )
    assert run(IndexError("list"), "--traceback", "go") == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_files_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(OSError(28, "No space left on device", "/data/net.cim")) == 2
    assert "error[CIMC-U07]: cannot read or write: No space left" in capsys.readouterr().err
    assert run(MemoryError()) == 70
    assert "CIMC-I18" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(error) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["compile"], "Missing argument 'MODEL'"),
        (["compile", "m.onnx"], "Missing option '--target'"),
        (["compile", "m.onnx", "--target", "rram", "--level", "8"], "Did you mean"),
        (["compile", "m.onnx", "--target", "rram", "--levels", "1"], "not in the range"),
        (
            ["compile", "m.onnx", "--target", "rram", "--quantizer", "x"],
            "'lloyd', 'n-multiplier', 'uniform'",
        ),
        (["verifi"], "No such command 'verifi'"),
        (["verify", "p.cim", "--chips", "0"], "not in the range"),
        (["--log-level", "loud", "version"], "'debug', 'info'"),
    ],
)
def test_wrong_usage_is_exit_2(call: Call, args: list[str], words: str) -> None:
    done = call(*args)
    assert done.code == 2
    assert done.err.startswith("error[CIMC-U01]: ")
    assert words in done.err
    assert "--help'" in done.err
    assert done.out == ""


def test_wrong_usage_with_json(call: Call) -> None:
    done = call("verify", "--json")
    assert done.code == 2
    assert done.json["error"]["code"] == "CIMC-U01"


def test_contradictions(call: Call) -> None:
    both = call("compile", "m.onnx", "--target", "rram", "--levels", 8, "--bits", 3)
    assert (both.code, "CIMC-U06" in both.err) == (2, True)
    assert call("run", "p", "--data", "x", "-o", "y", "--ideal", "--noise-free").code == 2
    assert call("inspect", "p", "--layer", "a", "--array", 0).code == 2
    assert "--array 0 -o" in call("inspect", "p", "-o", "g.csv").err


@pytest.mark.parametrize("value", ["95", "-0.1", "nan"])
def test_a_percentage_is_not_a_share(call: Call, value: str) -> None:
    done = call("verify", "none.cim", "--min-accuracy", value)
    assert done.code == 2
    assert "not percent" in done.err


def test_missing_files(call: Call, tmp_path: Path) -> None:
    assert call("verify", tmp_path / "none.cim").code == 4
    assert call("target", "show", "nothing").code == 4
    assert call("compile", tmp_path / "none.onnx", "--target", "rram").code == 3


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """Sent to a real process while it sleeps inside the write."""
    code = (
        "import signal, time\n"
        # A test run in the background inherits an ignored SIGINT.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import cimc.cli.save as save\n"
        "def slow(self, other):\n"
        "    print('ready', flush=True); time.sleep(60)\n"
        "save.Path.replace = slow\n"
        "import click\n"
        "from cimc.cli.failures import CimcGroup\n"
        "@click.group(cls=CimcGroup)\n"
        "def g(): pass\n"
        "@g.command('go')\n"
        "def go(): save.save_bytes('out.bin', b'x' * 10)\n"
        "g.main(['go'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m cimc target schema | head -c 1"
    done = subprocess.run(["/bin/bash", "-c", command], capture_output=True, check=False)
    assert done.stdout == b"{"
    assert b"Traceback" not in done.stderr

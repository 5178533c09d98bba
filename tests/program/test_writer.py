from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from cimc.errors import ProgramError
from cimc.program import container, files, read, write
from cimc.program import replace as replacing
from tests.program.factories import KINDS, mlp


def content(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(path.iterdir())}


@pytest.mark.parametrize("encoding", KINDS)
def test_same_program_same_bytes(tmp_path, encoding):
    digests = {write(mlp(encoding), tmp_path / name) for name in ("a.cim", "b.cim")}
    assert len(digests) == 1
    assert content(tmp_path / "a.cim") == content(tmp_path / "b.cim")


def test_what_was_read_is_written_with_the_same_bytes(stored, tmp_path):
    write(read(stored), tmp_path / "again.cim")
    assert content(tmp_path / "again.cim") == content(stored)


def test_digest_is_that_of_the_sums_and_sha256sum_agrees(stored):
    assert read(stored).sha256 == hashlib.sha256((stored / files.SUMS).read_bytes()).hexdigest()
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", files.SUMS],
        cwd=stored,
        capture_output=True,
        check=True,
    )
    assert done.stdout.count(b": OK") == len(list(stored.iterdir())) - 1


def test_official_library_reads_the_blobs(stored):
    tensors = safetensors.torch.load_file(stored / files.PROGRAM)
    assert torch.equal(tensors["constant/bias"], mlp().constants["bias"])
    assert safetensors.torch.load_file(stored / files.GOLDEN)["input/x"].shape == (3, 2, 6, 6)


def test_layout_of_the_manifest(stored):
    lines = (stored / files.MANIFEST).read_text().splitlines()
    start = lines.index("operations:")
    assert [line[:9] for line in lines[start + 1 : start + 7]] == ["- {name: "] * 6
    start = lines.index("layers:")
    assert [line[:12] for line in lines[start + 1 : start + 4]] == [
        "- {name: con",
        "   geometry:",
        "   uses: [{o",
    ]
    assert len(lines) <= 170


def test_a_program_replaces_a_program_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "p.cim"
    write(mlp(), path)
    other = write(mlp("offset-column", extras=False), path)
    assert read(path).sha256 == other
    assert [p.name for p in tmp_path.iterdir()] == ["p.cim"]


@pytest.mark.parametrize("make", ["file", "link", "other", "empty", "partly"])
def test_only_a_program_is_replaced(tmp_path, make):
    path = tmp_path / "p.cim"
    if make == "file":
        path.write_text("mine")
    elif make == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
        if make == "other":
            (path / "thesis.tex").write_text("mine")
        if make == "partly":
            write(mlp(), path)
            (path / "thesis.tex").write_text("mine")
    before = sorted(p.name for p in path.iterdir()) if path.is_dir() else path.read_text()
    if make == "empty":
        write(mlp(), path)
        return
    with pytest.raises(ProgramError) as caught:
        write(mlp(), path)
    assert caught.value.code == "CIMC-P25"
    after = sorted(p.name for p in path.iterdir()) if path.is_dir() else path.read_text()
    assert after == before
    assert len(list(tmp_path.iterdir())) == (2 if make == "link" else 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "disk full")])
@pytest.mark.parametrize("before", [True, False])
def test_interrupted_leaves_the_old_program_or_none(tmp_path, monkeypatch, error, before):
    path = tmp_path / "p.cim"
    digest = write(mlp(), path) if before else None

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("cimc.program.writer.sums_text", fail)
    with pytest.raises((KeyboardInterrupt, ProgramError)):
        write(mlp("offset-column"), path)
    assert [p.name for p in tmp_path.iterdir()] == (["p.cim"] if before else [])
    if before:
        assert read(path).sha256 == digest


def test_failing_rename_brings_the_old_program_back(tmp_path, monkeypatch):
    path = tmp_path / "p.cim"
    digest = write(mlp(), path)
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise OSError(errno.EIO, "broken")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(ProgramError, match="broken"):
        write(mlp("offset-column"), path)
    assert read(path).sha256 == digest
    assert [p.name for p in tmp_path.iterdir()] == ["p.cim"]


def test_remains_of_killed_writers_are_removed_or_brought_back(tmp_path):
    path = tmp_path / "p.cim"
    digest = write(mlp(), path)
    # Killed between the two renames: the old program has a hidden name, the new is complete.
    path.rename(tmp_path / ".p.cim.replaced-1-00")
    (tmp_path / ".p.cim.partial-1-00").mkdir()
    (tmp_path / ".other.cim.partial-1-00").mkdir()
    with pytest.raises(ProgramError):
        write(replace(mlp(), results=()), path)
    assert read(path).sha256 == digest
    write(mlp(), path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".other.cim.partial-1-00", "p.cim"]


def test_a_writer_at_work_is_left_alone(tmp_path):
    path = tmp_path / "p.cim"
    with replacing.replaced_directory(path) as temporary:
        write(mlp(), path)
        assert temporary.is_dir()
        (temporary / "program.yaml").write_text("")
    assert [p.name for p in path.iterdir()] == ["program.yaml"]


def test_an_invalid_program_is_not_written(tmp_path):
    program = mlp()
    wrong = replace(program, constants={**program.constants, "unused": torch.zeros(1)})
    with pytest.raises(ProgramError, match="nobody reads it"):
        write(wrong, tmp_path / "p.cim")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "constant",
    [torch.zeros(5, dtype=torch.complex64)],
)
def test_types_that_cannot_be_stored(tmp_path, constant):
    program = mlp()
    with pytest.raises(ProgramError) as caught:
        write(replace(program, constants={**program.constants, "bias": constant}), tmp_path / "p")
    assert caught.value.code == "CIMC-P26"


def test_every_stored_type_of_constant_comes_back(tmp_path):
    program = mlp(extras=False)
    constants = dict(program.constants)
    operations = list(program.operations)
    for name, dtype in container.DTYPES.items():
        constants[name] = torch.tensor([[0, 1], [1, 1]]).to(dtype)
    constants["none"] = torch.empty(0, 4)
    constants["scalar"] = torch.tensor(4)
    names = [n for n in constants if n not in program.constants]
    outputs = tuple(replace(program.outputs[0], name=f"o{n}") for n in names)
    program = replace(
        program,
        constants=constants,
        operations=tuple(operations),
        outputs=program.outputs + outputs,
        results=program.results + tuple(f"@{n}" for n in names),
    )
    write(program, tmp_path / "p.cim")
    again = read(tmp_path / "p.cim")
    for name, value in constants.items():
        assert again.constants[name].dtype == value.dtype
        assert torch.equal(again.constants[name], value)


def test_planes_that_are_views_are_written_as_if_they_were_not(tmp_path):
    program = mlp("signed", extras=False)
    turned = {}
    for name, layer in program.layers.items():
        plane = layer.cells.planes[0].transpose(1, 2).contiguous().transpose(1, 2)
        turned[name] = replace(layer, cells=replace(layer.cells, planes=(plane,)))
    write(program, tmp_path / "a")
    write(replace(program, layers=turned), tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_golden_arrays_of_any_byte_order_and_layout(tmp_path):
    program = mlp()
    assert program.golden is not None
    x = program.golden.inputs["x"]
    odd = x.astype(">f4")[::-1][::-1].copy(order="F")
    odd.flags.writeable = False
    golden = replace(program.golden, inputs={"x": odd})
    write(replace(program, golden=golden), tmp_path / "p")
    again = read(tmp_path / "p").golden
    assert again is not None
    assert np.array_equal(again.inputs["x"], x)


def test_killed_while_writing(tmp_path):
    path = tmp_path / "p.cim"
    digest = write(mlp(), path)
    code = (
        "import os, signal, sys\n"
        "import cimc.program.writer as w\n"
        "from tests.program.factories import KINDS, mlp\n"
        "w.sums_text = lambda sums: os.kill(os.getpid(), signal.SIGKILL)\n"
        "w.write(mlp('signed'), sys.argv[1])\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == -9
    assert read(path).sha256 == digest
    assert len(list(tmp_path.iterdir())) == 2
    write(mlp(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["p.cim"]

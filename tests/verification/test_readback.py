"""Files of measured conductances: three forms, and what is refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cimc.errors import ProgramError
from cimc.program.arrays import conductance_us
from cimc.program.inspection import write_csv
from cimc.program.model import DeviceProgram
from cimc.verification.readback import read_readback
from tests.program.factories import mlp


def matrices(program: DeviceProgram) -> dict[str, np.ndarray]:
    return {f"array_{k}": conductance_us(program, k) for k in range(program.arrays)}


def tensors(path: Path, program: DeviceProgram) -> Path:
    save_file(matrices(program), path / "g.safetensors", {"chip": "chip-1"})
    return path / "g.safetensors"


def npz(path: Path, program: DeviceProgram) -> Path:
    np.savez(path / "g.npz", chip="chip-1", **matrices(program))
    return path / "g.npz"


def compressed(path: Path, program: DeviceProgram) -> Path:
    wide = {name: m.astype(np.float64) for name, m in matrices(program).items()}
    np.savez_compressed(path / "g.npz", chip="chip-1", **wide)
    return path / "g.npz"


def csv(path: Path, program: DeviceProgram) -> Path:
    for k in range(program.arrays):
        write_csv(program, k, path / f"array_{k}.csv")
    return path


@pytest.mark.parametrize("form", [tensors, npz, compressed, csv])
def test_all_forms_hold_the_same(
    form: Callable[[Path, DeviceProgram], Path], tmp_path: Path
) -> None:
    program = mlp()
    readback = read_readback(form(tmp_path, program), program)
    assert readback.chip == ("" if form is csv else "chip-1")
    assert sorted(readback.arrays) == list(range(8))
    for k, matrix in readback.arrays.items():
        assert matrix.dtype == np.float32
        np.testing.assert_array_equal(matrix, conductance_us(program, k))


def refused(code: str, path: Path) -> str:
    with pytest.raises(ProgramError) as caught:
        read_readback(path, mlp())
    assert caught.value.code == code
    return str(caught.value)


def saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path / "bad.npz", **{**matrices(mlp()), **arrays})
    return path / "bad.npz"


def test_hostile_npz(tmp_path: Path) -> None:
    refused("CIMC-P70", tmp_path / "none.npz")
    refused("CIMC-P70", tmp_path / "none.safetensors")
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 nothing")
    refused("CIMC-P70", tmp_path / "x.npz")
    refused("CIMC-P70", saved(tmp_path, array_0=np.array([object()])))  # pickled
    refused("CIMC-P70", saved(tmp_path, array_0=np.ones((3000, 3000), np.float32)))  # too large
    refused("CIMC-P70", saved(tmp_path, chip=np.array(["a", "b"])))
    refused("CIMC-P70", saved(tmp_path, chip=np.array("a\nb")))
    refused("CIMC-P71", saved(tmp_path, G=np.ones(3, np.float32)))
    refused("CIMC-P71", saved(tmp_path, array_01=np.ones((32, 24), np.float32)))
    refused("CIMC-P72", saved(tmp_path, array_0=np.ones((32, 24), np.int64)))
    refused("CIMC-P72", saved(tmp_path, array_0=np.ones((32, 24), np.complex64)))
    refused("CIMC-P72", saved(tmp_path, array_0=np.ones((24, 32), np.float32)))
    refused("CIMC-P73", saved(tmp_path, array_0=np.full((32, 24), 1e300)))


def test_a_header_that_promises_more_is_refused(tmp_path: Path) -> None:
    """A small file whose array would take 2 TB is refused by its header."""
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 19)}
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(tmp_path / "big.npz", "w") as archive:
        archive.writestr("array_0.npy", stream.getvalue())
    refused("CIMC-P70", tmp_path / "big.npz")


def test_hostile_safetensors(tmp_path: Path) -> None:
    good = tensors(tmp_path, mlp()).read_bytes()
    bad = tmp_path / "bad.safetensors"
    for content in (good[:100], b"", good[:-1], b"\xff" * 64, good + bytes(2 << 20)):
        bad.write_bytes(content)
        refused("CIMC-P70", bad)
    header = json.dumps(
        {"array_0": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 1 << 40]}}
    ).encode()
    bad.write_bytes(len(header).to_bytes(8, "little") + header)
    refused("CIMC-P70", bad)
    save_file({"array_0": np.ones((32, 24), np.float16)}, bad)
    refused("CIMC-P72", bad)


def test_hostile_csv(tmp_path: Path) -> None:
    folder = csv(tmp_path, mlp())
    first = folder / "array_0.csv"
    good = first.read_text()
    for bad in (good + "1,2\n", good.replace(",", ";"), "", "# a\n", good.replace("2", "é", 1)):
        first.write_text(bad, encoding="utf-8")
        with pytest.raises(ProgramError) as caught:
            read_readback(folder, mlp())
        assert caught.value.code in ("CIMC-P70", "CIMC-P72")
    first.write_bytes(b"1," * (2 << 20))
    refused("CIMC-P70", folder)
    first.write_text(good)
    (folder / "other.csv").write_text("1\n")
    refused("CIMC-P71", folder)
    (folder / "other.csv").unlink()
    first.write_text(good.replace(good.split(",")[0], "nan", 1))
    assert np.isnan(read_readback(folder, mlp()).arrays[0][0, 0])

from pathlib import Path

import numpy as np

from cimc.verification.reference import OnnxModel
from tests.cli.conftest import Call, Files


def outputs(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as got:
        return got["y"]


def test_modes_and_seeds(call: Call, files: Files, tmp_path: Path) -> None:
    def run(name: str, *options: object) -> np.ndarray:
        path = tmp_path / f"{name}.npz"
        done = call("run", files.program, "--data", files.data, "-o", path, *options)
        assert done.code == 0, done.err
        assert done.out == ""
        return outputs(path)

    ideal, free = run("ideal", "--ideal"), run("free", "--noise-free")
    chip, same, other = run("a", "--seed", 1), run("b", "--seed", 1), run("c", "--seed", 2)
    with np.load(files.data) as data:
        wanted = OnnxModel(files.model).run({"x": data["x"]})["y"]
    assert ideal.shape == wanted.shape == (40, 3)
    assert np.abs(ideal - wanted).max() < 0.1 * np.abs(wanted).max()
    np.testing.assert_array_equal(chip, same)
    assert not np.array_equal(chip, other)
    assert not np.array_equal(chip, free)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_labels_in_the_data_are_no_input(call: Call, files: Files, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 4), np.float32), z=np.zeros(2))
    done = call("run", files.program, "--data", tmp_path / "x.npz", "-o", tmp_path / "y.npz")
    assert done.code == 3
    assert "CIMC-M78" in done.err
    assert not (tmp_path / "y.npz").exists()


def test_an_output_that_cannot_be_written(call: Call, files: Files, tmp_path: Path) -> None:
    done = call("run", files.program, "--data", files.data, "-o", tmp_path / "no" / "y.npz")
    assert done.code == 2
    assert "CIMC-U07" in done.err


def test_a_folder_is_no_place_for_outputs(call: Call, tmp_path: Path) -> None:
    done = call("run", "no.cim", "--data", "no.npz", "-o", tmp_path)
    assert done.code == 2
    assert f"it is a folder, not a file\n  at {tmp_path}\n" in done.err


def test_which_non_idealities(call: Call, files: Files, tmp_path: Path) -> None:
    def run(name: str, *options: object) -> np.ndarray:
        path = tmp_path / f"{name}.npz"
        done = call("run", files.program, "--data", files.data, "-o", path, *options)
        assert done.code == 0, done.err
        return outputs(path)

    free = run("free", "--noise-free")
    np.testing.assert_array_equal(run("only", "--only", "dac,adc"), free)
    without = run("without", "--without", "programming", "--at", "1h")
    assert not np.array_equal(without, run("chip"))
    bad = call("run", "no.cim", "--data", "no.npz", "-o", tmp_path / "y", "--ideal", "--only=adc")
    assert (bad.code, "CIMC-U06" in bad.err) == (2, True)
    assert "CIMC-U47" in call("run", "no", "--data", "no", "-o", tmp_path / "y", "--only=x").err

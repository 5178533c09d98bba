from pathlib import Path

import numpy as np

from cimc.program import read, write
from cimc.program.arrays import conductance_us
from tests.cli.conftest import Call, Files
from tests.program.factories import mlp, with_gains, with_maps


def test_the_program(call: Call, files: Files) -> None:
    done = call("inspect", files.program, "--json")
    assert done.code == 0, done.err
    assert done.json["target"] == "rram"
    assert done.json["layers"] == 2
    assert len(done.json["crossbar_layers"]) == 2
    assert "crossbar layers" in done.err
    assert "user data" in done.err


def test_one_layer_by_either_name(call: Call, files: Files) -> None:
    name = call("inspect", files.program, "--json").json["crossbar_layers"][0]["name"]
    done = call("inspect", files.program, "--layer", name, "--json")
    assert (done.code, done.json["name"]) == (0, name)
    assert "weight units per uS" in done.err
    assert call("inspect", files.program, "--layer", "nothing").code == 4


def test_the_matrix_a_tester_loads(call: Call, files: Files, tmp_path: Path) -> None:
    csv = tmp_path / "g.csv"
    done = call("inspect", files.program, "--array", 0, "-o", csv, "--json")
    assert done.code == 0, done.err
    assert (done.json["rows"], done.json["columns"]) == (256, 256)
    wanted = conductance_us(read(files.program), 0)
    np.testing.assert_array_equal(np.loadtxt(csv, delimiter=",", dtype=np.float32), wanted)
    assert call("inspect", files.program, "--array", 99).code == 4


def test_a_program_of_one_chip(call: Call, tmp_path: Path) -> None:
    program = with_gains(with_maps(mlp()), [0, 2])
    write(program, tmp_path / "p.cim")
    done = call("inspect", tmp_path / "p.cim", "--json")
    assert (done.code, done.json["chip"], done.json["measured_arrays"]) == (0, "chip-1", 2)
    assert "chip-1" in done.err
    assert "devices of 2 arrays measured" in " ".join(done.err.split())
    assert "in 3 layers" in done.err
    done = call("inspect", tmp_path / "p.cim", "--layer", "fc2", "--json")
    assert (done.json["word_line_map"], done.json["faulty_cells"]) == (True, 0)
    assert "of rows and columns" in done.err
    assert "1 in 1 row tile on 1 array" in " ".join(done.err.split())
    done = call("inspect", tmp_path / "p.cim", "--array", 0, "--json")
    (tile,) = done.json["tiles"]
    layer = program.layers[tile["layer"]]
    assert layer.word_lines is not None
    assert tile["word_lines"] == layer.word_lines[: tile["rows"]].tolist()
    assert f"{min(tile['word_lines'])}..{max(tile['word_lines'])}" in done.err

from pathlib import Path

import numpy as np

from cimc.program import read
from cimc.program.arrays import conductance_us
from tests.cli.conftest import Call, Files


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

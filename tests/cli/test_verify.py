from pathlib import Path

import pytest

from tests.cli.conftest import Call, Files

#: Contract: documented and stable.
KEYS = (
    "metric reference ideal noise_free mean std min max ci_low ci_high confidence chips samples "
    "agreement snr_db per_layer_snr_db passed"
)


def test_golden_vectors(call: Call, files: Files) -> None:
    done = call("verify", files.program, "--chips", 3, "--json")
    assert done.code == 0, done.err
    report = done.json
    assert set(KEYS.split()) <= report.keys()
    assert (report["metric"], report["passed"], report["chips"]) == ("snr_db", True, 3)


def test_labels_give_accuracy_with_its_interval(call: Call, files: Files) -> None:
    done = call(
        "verify",
        files.program,
        "--reference",
        files.model,
        "--data",
        files.data,
        "--chips",
        5,
        "--json",
    )
    assert done.code == 0, done.err
    report = done.json
    assert (report["metric"], report["reference"], report["samples"]) == ("top1", 1.0, 40)
    assert report["ci_low"] <= report["mean"] <= report["ci_high"]
    assert len(report["per_layer_snr_db"]) == 2
    assert all(value > 10 for value in report["per_layer_snr_db"].values())
    assert "interval of the mean" in done.err


def test_gates_set_the_exit_code(call: Call, files: Files) -> None:
    base = ("verify", files.program, "--reference", files.model, "--data", files.data)
    passed = call(*base, "--chips", 100, "--max-drop", 0.6, "--json")
    assert (passed.code, passed.json["decision"]) == (0, "passed")
    assert passed.json["chips"] < 100
    assert "passed after" in passed.err
    failed = call(*base, "--chips", 2, "--min-accuracy", 1.0, "--json")
    assert (failed.code, failed.json["passed"]) == (1, False)
    assert "NOT PASSED" in failed.err or "FAILED" in failed.err


def test_ideal_is_one_exact_run(call: Call, files: Files) -> None:
    done = call("verify", files.program, "--data", files.data, "--ideal", "--json")
    assert done.code == 0
    assert (done.json["chips"], done.json["interval"]) == (1, "exact")


def test_wrong_data(call: Call, files: Files, tmp_path: Path) -> None:
    done = call("verify", files.program, "--data", files.model, "--json")
    assert (done.code, done.json["error"]["code"]) == (3, "CIMC-M70")
    assert call("verify", files.program, "--data", files.data, "--max-drop", 0.1).code == 2


def test_a_broken_program(call: Call, files: Files, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "b.cim"
    shutil.copytree(files.program, broken)
    blob = broken / "program.safetensors"
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    done = call("verify", broken, "--json")
    assert done.code == 4
    assert done.json["error"]["code"].startswith("CIMC-P")


@pytest.mark.parametrize("seed", [0, 11])
def test_the_same_seed_gives_the_same_figures(call: Call, files: Files, seed: int) -> None:
    args = ("verify", files.program, "--data", files.data, "--chips", 3, "--seed", seed, "--json")
    first, second = call(*args).json, call(*args).json
    assert first.pop("seconds") >= 0
    second.pop("seconds")
    assert first == second


def test_which_non_idealities(call: Call, files: Files) -> None:
    base = ("verify", files.program, "--data", files.data, "--chips", 2, "--json")
    everything = call(*base).json
    none = call(*base, "--without", ",".join(everything["effects"])).json
    assert (none["effects"], none["mean"], none["interval"]) == ([], none["ideal"], "exact")
    converters = call(*base, "--only", "dac,adc,drift")
    assert converters.json["effects"] == ["dac", "adc"]
    assert converters.json["snr_db"] == call(*base, "--only", "dac,adc").json["snr_db"]
    assert "not described by the target: drift" in converters.err
    later = call(*base, "--at", "1d")
    assert later.json["at_s"] == 86400
    assert "1 d after programming" in later.err


def test_wrong_non_idealities_are_refused_before_anything_is_read(call: Call) -> None:
    def code(*options: str) -> str:
        done = call("verify", "no.cim", *options, "--json")
        assert done.code == 2
        return str(done.json["error"]["code"])

    assert code("--only", "programing") == "CIMC-U47"
    assert code("--only", "adc", "--without", "dac") == "CIMC-U06"
    assert code("--ideal", "--only", "adc") == "CIMC-U06"
    assert code("--at", "1 week") == "CIMC-U08"


def read_back(files: Files, path: Path, scale: float = 1.0) -> Path:
    """A tester that reads every cell, all of them wrong by one factor."""
    import numpy as np

    from cimc.program import read
    from cimc.program.arrays import conductance_us

    program = read(files.program)
    matrices = {f"array_{k}": conductance_us(program, k) for k in range(program.arrays)}
    np.savez(path, **{name: (g * scale).astype(np.float32) for name, g in matrices.items()})
    return path


def test_measured_chips(call: Call, files: Files, tmp_path: Path) -> None:
    base = ("verify", files.program, "--reference", files.model, "--data", files.data, "--json")
    exact = read_back(files, tmp_path / "exact.npz")
    done = call(*base, "--measured", exact)
    assert done.code == 0, done.err
    report = done.json
    # A perfect read-back is the noise-free program, run once.
    assert (report["chips"], report["interval"]) == (1, "exact")
    assert report["mean"] == report["noise_free"]
    assert report["effects"] == ["dac", "adc"]
    assert report["measured"] == [str(exact)]
    assert f"measured                       {exact}" in done.err or "measured" in done.err
    off = read_back(files, tmp_path / "off.npz", 1.5)
    several = call(*base, "--measured", exact, "--measured", off).json
    assert several["chips"] == 2
    assert several["values"][0] == report["mean"]
    assert several["snr_db"] < report["snr_db"]


def test_a_read_back_in_siemens_is_noticed(call: Call, files: Files, tmp_path: Path) -> None:
    siemens = read_back(files, tmp_path / "s.npz", 1e-6)
    done = call("verify", files.program, "--data", files.data, "--measured", siemens)
    assert "values are taken in uS" in " ".join(done.err.split())


def test_what_is_no_read_back(call: Call, files: Files, tmp_path: Path) -> None:
    base = ("verify", files.program, "--data", files.data, "--json")
    done = call(*base, "--measured", tmp_path / "none.npz")
    assert (done.code, done.json["error"]["code"]) == (4, "CIMC-P70")
    assert call(*base, "--ideal", "--measured", "g").json["error"]["code"] == "CIMC-U06"

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.conftest import Call, Files

#: Contract: documented and stable.
KEYS = (
    "program sha256 layers analog_layers digital_ops opaque_ops weights analog_weights arrays "
    "array_rows array_columns cell_utilization seconds peak_rss_mib warnings"
)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pipeline is called with; it then fails, which is what is wanted of it here."""
    import cimc.pipeline
    from cimc.errors import FitError

    seen: dict[str, Any] = {}

    def fake(model: str, **options: Any) -> SimpleNamespace:
        seen.update(model=model, **options)
        raise FitError("CIMC-S99", "too large")

    monkeypatch.setattr(cimc.pipeline, "compile_model", fake)
    return seen


def test_every_option_reaches_the_pipeline(call: Call, given: dict[str, Any]) -> None:
    done = call(
        *("compile", "m.onnx", "--target", "t.yaml", "-o", "o.cim", "--quantizer", "uniform"),
        *("--bits", 3, "--per-column", "--data", "x.npz", "--recipe", "r.yaml", "--digital", "a*"),
        *("--digital", "b", "--analog", "c", "--seed", 7, "--no-keep-calibration"),
        *("--trust-input", "--dump-passes", "d", "--check"),
        *("--converter-ranges", "percentile", "--percentile", 99),
        *("--train-data", "t.npz", "--epochs", 4, "--resume", "--checkpoint", "c"),
        *("--training-device", "cuda", "--save-weights", "w.safetensors"),
        *("--fault-map", "f.safetensors"),
    )
    assert done.code == 5
    given.pop("progress")
    assert given == {
        "model": "m.onnx",
        "fault_map": "f.safetensors",
        "target": "t.yaml",
        "output": "o.cim",
        "quantizer": "uniform",
        "levels": 8,
        "per_column": True,
        "data": "x.npz",
        "recipe": "r.yaml",
        "digital": ("a*", "b"),
        "analog": ("c",),
        "seed": 7,
        "converters": {
            "input_method": "percentile",
            "adc_method": "percentile",
            "percentile": 99.0,
        },
        "keep_calibration": False,
        "trust_input": True,
        "dump_passes": "d",
        "check": True,
        "train_data": "t.npz",
        "training": {"epochs": 4},
        "training_device": "cuda",
        "resume": True,
        "checkpoint": "c",
        "save_weights": "w.safetensors",
    }


@pytest.mark.parametrize(
    "options",
    [
        ("--data", "x.npz", "--converter-ranges", "mse", "--percentile", 99),
        ("--converter-ranges", "max"),
        ("--percentile", 99),
    ],
)
def test_a_percentile_needs_its_method_and_a_method_needs_data(
    call: Call, given: dict[str, Any], options: tuple[Any, ...]
) -> None:
    done = call("compile", "m.onnx", "--target", "rram", *options)
    assert done.code == 2
    assert "CIMC-U06" in done.err
    assert given == {}


def test_a_percentile_alone_names_its_method(call: Call, given: dict[str, Any]) -> None:
    call("compile", "m.onnx", "--target", "rram", "--data", "x.npz", "--percentile", 99)
    assert given["converters"] == {
        "input_method": "percentile",
        "adc_method": "percentile",
        "percentile": 99.0,
    }


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    call: Call, given: dict[str, Any], tmp_path: Path
) -> None:
    done = call("compile", "m.onnx", "--target", "rram", "-o", tmp_path / "none" / "o.cim")
    assert (done.code, given) == (2, {})
    assert done.err == (
        "error[CIMC-U07]: cannot read or write: there is no such folder\n"
        f"  at {tmp_path / 'none'}\n"
        "  try another -o\n"
    )


def test_what_is_not_given_is_left_to_the_recipe(call: Call, given: dict[str, Any]) -> None:
    call("compile", "models/net.v2.onnx", "--target", "rram")
    assert given["output"] == "net.v2.cim"
    left = (
        "quantizer",
        "levels",
        "per_column",
        "seed",
        "data",
        "recipe",
        "dump_passes",
        "converters",
        "train_data",
        "training",
        "checkpoint",
        "save_weights",
    )
    assert [given[name] for name in left] == [None] * len(left)


def test_a_program_is_written_and_summarized(call: Call, files: Files, tmp_path: Path) -> None:
    out = tmp_path / "o.cim"
    done = call(
        "compile",
        files.model,
        "--target",
        "rram",
        "-o",
        out,
        "--levels",
        16,
        "--json",
        "--data",
        files.data,
        "--check",
        "--dump-passes",
        tmp_path / "dump",
    )
    assert done.code == 0, done.err
    report = done.json
    assert set(KEYS.split()) <= report.keys()
    assert report["program"] == str(out)
    assert len(report["sha256"]) == 64
    assert (report["analog_layers"], report["weights"]) == (2, 56)
    assert out.is_dir()
    assert (tmp_path / "dump" / "00-import.txt").is_file()
    assert "arrays" in done.err
    assert "passes, outputs against onnxruntime" in done.err
    assert {p["name"] for p in report["passes"]} >= {"canonicalize", "quantize"}


def test_the_command_line_wins_over_the_recipe(call: Call, files: Files, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("levels: 4\nseed: 3\n")
    base = ("compile", files.model, "--target", "rram", "-o", tmp_path / "o.cim", "--json")
    assert call(*base, "--recipe", recipe).code == 0
    assert call("inspect", tmp_path / "o.cim", "--json").json["provenance"]["seed"] == 3
    assert call(*base, "--recipe", recipe, "--seed", 5).code == 0
    assert call("inspect", tmp_path / "o.cim", "--json").json["provenance"]["seed"] == 5
    recipe.write_text("level: 4\n")
    done = call(*base, "--recipe", recipe)
    assert (done.code, "'level'" in done.err) == (2, True)


def test_a_failure_keeps_the_old_program(call: Call, files: Files, tmp_path: Path) -> None:
    out = tmp_path / "o.cim"
    assert call("compile", files.model, "--target", "rram", "-o", out).code == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"junk")
    assert call("compile", bad, "--target", "rram", "-o", out).code == 3
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


@pytest.mark.parametrize(
    ("model", "output"), [("/", "model.cim"), ("", "model.cim"), ("a/b.c.onnx", "b.c.cim")]
)
def test_the_program_is_named_after_the_model(
    call: Call, given: dict[str, Any], model: str, output: str
) -> None:
    assert call("compile", model, "--target", "rram").code == 5
    assert given["output"] == output

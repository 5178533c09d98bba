"""Hostile manifests, all checksums right."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from cimc.errors import ProgramError
from cimc.program import files, read
from cimc.program.writer import manifest_lines
from tests.program.forge import Forge, sign
from tests.program.hostile import forged, manifest_change, refused


def test_manifest_flips_that_are_signed_again_never_crash(small, tmp_path):
    path = tmp_path / "p.cim"
    shutil.copytree(small, path)
    original = (path / files.MANIFEST).read_bytes()
    rng = np.random.default_rng(6)
    read_anyway = 0
    for place in rng.integers(0, len(original), 250).tolist():
        changed = bytearray(original)
        changed[place] = int(rng.choice(list(b"0123456789-:{}[]\"'&*!%@#, \nabz\xff\0")))
        (path / files.MANIFEST).write_bytes(changed)
        sign(path)
        try:
            read(path)
            read_anyway += 1
        except ProgramError as error:
            assert error.code != "CIMC-P39", error.message  # noqa: PT017
    assert 0 < read_anyway < 150  # texts for people may change


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("format", "other", "CIMC-P08"),
        ("version", 1, "CIMC-P08"),
        ("version", True, "CIMC-P08"),
        ("version", "2", "CIMC-P08"),
        ("version", 10**18, "CIMC-P08"),
        ("surprise", 1, "CIMC-P07"),
        ("layers.0.surprise", 1, "CIMC-P07"),
        ("provenance", [], "CIMC-P07"),
        ("warnings", [1], "CIMC-P07"),
        ("batched", 1, "CIMC-P07"),
        ("inputs.0.shape", [1.5], "CIMC-P07"),
        ("inputs.0.shape", [-1], "CIMC-P13"),
        ("inputs.0.shape", [1] * 100, "CIMC-P13"),
        ("inputs.0.dtype", "object", "CIMC-P13"),
        ("inputs.0.name", "z", "CIMC-P14"),
        ("inputs.0.name", "", "CIMC-P13"),
        ("inputs.0.dtype", "int64", "CIMC-P23"),
        ("inputs.0.shape", ["n", 2], "CIMC-P23"),
        ("outputs.0.name", "z", "CIMC-P23"),
        ("outputs.0.value", "%z", "CIMC-P14"),
        ("outputs.0.value", "#fc1", "CIMC-P14"),
        ("outputs.0.value", "@nothing", "CIMC-P14"),
        ("operations.0.op", "system", "CIMC-P15"),
        ("operations.0.op", "__class__", "CIMC-P15"),
        ("operations.0.op", "relu", "CIMC-P15"),
        ("operations.1.inputs", [], "CIMC-P15"),
        ("operations.0.inputs", [None, "#conv", "@bias"], "CIMC-P15"),
        ("operations.0.inputs", ["#conv", "%x", "@bias"], "CIMC-P15"),
        ("operations.0.inputs", ["%x", "#conv"], "CIMC-P14"),  # bias is read by nobody
        ("operations.0.inputs", ["%x", "#conv", "@bias", "@bias"], "CIMC-P15"),
        ("operations.0.inputs", ["%r", "#conv", "@bias"], "CIMC-P14"),  # forward, a cycle
        ("operations.0.inputs", ["%c", "#conv", "@bias"], "CIMC-P14"),  # of itself
        ("operations.0.inputs", ["x", "#conv", "@bias"], "CIMC-P14"),
        ("operations.0.inputs", ["%x", "#fc1", "@bias"], "CIMC-P18"),
        ("operations.0.inputs", ["%x", "@bias", "@bias"], "CIMC-P18"),
        ("operations.0.attributes", {"kernel_shape": [5, 5]}, "CIMC-P18"),
        ("operations.0.attributes", {"group": 2}, "CIMC-P18"),
        ("operations.3.attributes", {"transB": 0}, "CIMC-P18"),
        ("operations.3.attributes", {}, "CIMC-P18"),
        ("operations.5.attributes", {"transB": 1}, "CIMC-P18"),
        ("operations.0.attributes", {"surprise": 1}, "CIMC-P16"),
        ("operations.0.attributes", {"group": "1"}, "CIMC-P16"),
        ("operations.0.attributes", {"pads": [1, [2]]}, "CIMC-P16"),
        ("operations.0.attributes", {"x": 1}, "CIMC-P16"),  # an operand, not an attribute
        ("operations.0.outputs", ["x"], "CIMC-P14"),
        ("operations.0.outputs", ["c", "d"], "CIMC-P15"),
        ("operations.0.outputs", [], "CIMC-P14"),
        ("operations.1.name", "conv", "CIMC-P14"),
        ("operations.1.outputs", ["c"], "CIMC-P14"),
        ("layers.0.name", "fc1", "CIMC-P18"),
        ("layers.0.name", "other", "CIMC-P10"),
        ("layers.0.geometry.rows", 0, "CIMC-P07"),
        ("layers.0.geometry.rows", 19, "CIMC-P10"),
        ("layers.0.geometry.rows", 2**31, "CIMC-P07"),
        ("layers.0.geometry.groups", 2**30, "CIMC-P10"),
        ("layers.0.geometry.columns", 2**30, "CIMC-P10"),
        ("layers.0.geometry.columns", 6, "CIMC-P20"),  # the same bytes a row
        ("layers.0.geometry.kernel", [4], "CIMC-P18"),
        ("layers.0.geometry.kernel", [2**30] * 8, "CIMC-P18"),
        ("layers.0.geometry.kernel", [1] * 9, "CIMC-P07"),
        ("layers.0.geometry.kind", "matrix", "CIMC-P18"),
        ("layers.1.geometry.kind", "recurrent", "CIMC-P18"),
        ("layers.1.geometry.stack", [3], "CIMC-P18"),
        ("layers.1.geometry.stack", [1], "CIMC-P18"),
        ("layers.1.geometry.transposed", False, "CIMC-P18"),
        ("layers.0.encoding", "offset-column", "CIMC-P10"),
        ("layers.0.encoding", "signed", "CIMC-P18"),
        ("layers.0.cells.planes", 1, "CIMC-P10"),
        ("layers.0.cells.planes", 9, "CIMC-P07"),
        ("layers.0.cells.planes", 3, "CIMC-P10"),
        ("layers.0.cells.states", 15, "CIMC-P10"),
        ("layers.0.cells.states", 257, "CIMC-P07"),
        ("layers.0.cells.states", None, "CIMC-P19"),
        ("layers.0.cells.bits", 5, "CIMC-P19"),
        ("layers.0.cells.bits", 10**9, "CIMC-P07"),
        ("layers.0.tiles", 10**12, "CIMC-P10"),
        ("layers.0.tiles", -1, "CIMC-P07"),
        ("layers.0.row_tiles", 2, "CIMC-P10"),
        ("layers.0.uses", [], "CIMC-P10"),
        ("layers.0.uses.0.operation", "relu", "CIMC-P18"),
        ("layers.0.uses.0.operand", 0, "CIMC-P18"),
        ("layers.0.uses.0.dac.bits", 0, "CIMC-P22"),
        ("layers.0.uses.0.dac.bits", 1, "CIMC-P22"),
        ("layers.0.uses.0.dac.bits", 64, "CIMC-P22"),
        ("layers.0.uses.0.dac.bits", 8.0, "CIMC-P07"),
        ("layers.0.uses.0.dac.x_max", 0.0, "CIMC-P22"),
        ("layers.0.uses.0.dac.x_max", -1.0, "CIMC-P22"),
        ("layers.0.uses.0.dac.x_max", 1e300, "CIMC-P22"),
        ("layers.0.uses.0.dac.x_max", float("nan"), "CIMC-P07"),
        ("layers.0.uses.0.dac.x_max", None, "CIMC-P22"),
        ("layers.0.uses.0.dac.policy", "dynamic", "CIMC-P22"),
        ("layers.0.uses.0.dac.policy", "never", "CIMC-P07"),
        ("layers.0.uses.0.adc.bits", 1, "CIMC-P22"),
        ("layers.0.uses.0.adc.bits", 60, "CIMC-P22"),
        ("layers.0.uses.0.adc.bits", 0, "CIMC-P22"),
        ("layers.0.uses.0.adc.signed", None, "CIMC-P07"),
        ("layers.0.uses.0.adc.signed", 1, "CIMC-P07"),
        ("layers.0.uses.0.adc.bits", None, "CIMC-P22"),
        ("layers.0.uses.0.adc.ranges", False, "CIMC-P10"),
        ("arrays.used", 9, "CIMC-P21"),
        ("arrays.used", 10**15, "CIMC-P07"),
        ("arrays.used", 10**14, "CIMC-P21"),
        ("arrays.rows", 31, "CIMC-P21"),
        ("arrays.cells_used", 1, "CIMC-P21"),
        ("target", {}, "CIMC-P12"),
        ("target.name", "../../x", "CIMC-P12"),
        ("target.array.rows", 0, "CIMC-P12"),
        ("target.array.rows", 31, "CIMC-P21"),
        ("target.array.rows", None, "CIMC-P21"),
        ("target.cell.g_max", "3 uS", "CIMC-P19"),
        ("target.encoding", "signed", "CIMC-P12"),
        ("target.encoding", "offset-column", "CIMC-P18"),
        ("faults", None, "CIMC-P10"),
        ("faults.cells", 3, "CIMC-P10"),
        ("files", {}, "CIMC-P03"),
    ],
)
def test_manifests_signed_again(small, tmp_path, path, value, code):
    forge = Forge(small)
    manifest_change(path, value)(forge)
    saved = forge.save(tmp_path / "forged.cim")
    if path == "files":
        (saved / files.MANIFEST).write_text(manifest_lines({**forge.manifest, "files": value}))
        sign(saved)
    assert refused(saved).code == code


def test_a_value_defined_twice(small, tmp_path):
    def change(forge: Forge) -> None:
        forge.operation("relu2")["outputs"] = ["g"]
        forge.operation("fc2")["inputs"][0] = "%g"

    error = forged(small, tmp_path, change)
    assert (error.code, "relu2" in error.where) == ("CIMC-P14", True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "a",
        "a: &a [*a]",
        "&a [" + "*a, " * 1000 + "]",
        "[" * 1_000_000,
        "{a: " * 1_000_000,
        "- " * 1_000_000,
        "? " * 100_000,
        "a: !!python/object/apply:os.system [id]",
        "--- {}\n--- {}",
        "format: cimc-device-program\nversion: 3\n",
        "format: cimc-device-program\nversion: 3\nformat: cimc-device-program\n",
        "a: " + "x" * 1_000_000,
        "a: '" + "x" * 1_000_000,
        "[" + "1," * 100_000 + "]",
        "{" + ",".join(f"k{i}: 1" for i in range(50_000)) + "}",
        'a: "\\ud800"',
        "\x00",
        "%TAG ! tag:x,2000:\n--- 1",
    ],
)
def test_manifest_texts(small, tmp_path, text):
    forge = Forge(small)
    path = forge.save(tmp_path / "forged.cim", text=text)
    assert refused(path, seconds=20).code in ("CIMC-P06", "CIMC-P07", "CIMC-P08")


def test_manifest_that_is_no_text(small, tmp_path):
    path = tmp_path / "p.cim"
    shutil.copytree(small, path)
    (path / files.MANIFEST).write_bytes(b"\xff\xfe\x00")
    sign(path)
    assert refused(path).code == "CIMC-P06"

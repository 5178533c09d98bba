"""Broken and hostile programs: one clear error each, in bounded time and memory."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from cimc.errors import ProgramError
from cimc.program import files, read, write
from cimc.program.directory import sums_text
from cimc.program.writer import manifest_lines
from tests.program.factories import mlp
from tests.program.forge import Forge, sign

#: Changed copies of each file that are tried, for each kind of change.
FLIPS = 200
CUTS = 100


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that is broken."""
    path = tmp_path_factory.mktemp("hostile") / "p.cim"
    write(mlp(), path)
    return path


#: Most memory that one refusal may take [KiB].
MEMORY = 512 << 10


@contextmanager
def little_memory() -> Iterator[None]:
    """Require that the peak memory of this process grows little."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets earlier peaks
    except OSError:  # no such thing on this system
        yield
        return
    before = peak()
    yield
    assert peak() - before < MEMORY


def peak() -> int:
    """Return the peak memory of this process since it was last forgotten [KiB]."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM"))


def refused(path: Path, *, seconds: float = 5.0) -> ProgramError:
    """Read what must be refused, in little time and memory; return the error."""
    start = time.perf_counter()
    with little_memory(), pytest.raises(ProgramError) as caught:
        read(path)
    assert time.perf_counter() - start < seconds
    error = caught.value
    assert error.code != "CIMC-P39", error.message  # refused by a rule, not by the safety net
    assert error.exit_code == 4
    assert "\n" not in error.message
    assert error.where
    return error


@pytest.mark.parametrize("name", sorted(files.ALLOWED))
def test_every_flip_of_a_byte_is_refused(small, tmp_path, name):
    path = tmp_path / "p.cim"
    shutil.copytree(small, path)
    original = (path / name).read_bytes()
    rng = np.random.default_rng(len(name))
    # The start of a file decides most; every byte of SHA256SUMS is tried.
    start = len(original) if name == files.SUMS else 120
    places = {*range(start), *rng.integers(0, len(original), FLIPS).tolist()}
    for place in sorted(places):
        changed = bytearray(original)
        changed[place] ^= int(rng.integers(1, 256))
        (path / name).write_bytes(changed)
        refused(path)


@pytest.mark.parametrize("name", sorted(files.ALLOWED))
def test_every_cut_and_every_tail_is_refused(small, tmp_path, name):
    path = tmp_path / "p.cim"
    shutil.copytree(small, path)
    original = (path / name).read_bytes()
    rng = np.random.default_rng(len(name))
    lengths = {0, 1, 7, 8, 9, len(original) - 1}
    for length in lengths | set(rng.integers(0, len(original), CUTS).tolist()):
        (path / name).write_bytes(original[:length])
        refused(path)
    for tail in (b"\0", b"\n", b" ", original):
        (path / name).write_bytes(original + tail)
        refused(path)


def test_other_spellings_of_the_sums_are_refused(small, tmp_path):
    path = tmp_path / "p.cim"
    shutil.copytree(small, path)
    text = (path / files.SUMS).read_text()
    lines = text.splitlines(keepends=True)
    for other in (
        text.upper(),
        text.replace("  ", " *"),
        text.replace("\n", "\r\n"),
        text.rstrip("\n"),
        "".join(reversed(lines)),
        text + lines[0],
        "\ufeff" + text,
        "# comment\n" + text,
        text.replace("  program.yaml", "  ./program.yaml"),
        text.replace("  program.yaml", "  /etc/passwd"),
        text.replace("program.yaml", "../p.cim/program.yaml"),
    ):
        (path / files.SUMS).write_text(other)
        assert refused(path).code == "CIMC-P02"
    (path / files.SUMS).write_text("".join(lines[1:]))
    assert refused(path).code == "CIMC-P03"


@pytest.mark.parametrize("name", [files.PROGRAM, files.GOLDEN, files.CALIBRATION])
def test_flips_that_are_signed_again_never_crash(small, tmp_path, name):
    """Any byte may change with all file checksums right: refused, or read as another program."""
    path = tmp_path / "p.cim"
    shutil.copytree(small, path)
    original = (path / name).read_bytes()
    manifest = (path / files.MANIFEST).read_text()
    forge = Forge(small)
    rng = np.random.default_rng(5)
    for place in rng.integers(0, len(original), 80).tolist():
        changed = bytearray(original)
        changed[place] ^= 1 << int(rng.integers(0, 8))
        (path / name).write_bytes(changed)
        digest = sums_of(path)[name]
        (path / files.MANIFEST).write_text(
            manifest.replace(forge.manifest["files"][name]["sha256"], digest)
        )
        sign(path)
        refused(path)  # the checksum of the tensor, or the header


def sums_of(path: Path) -> dict[str, str]:
    sign(path)
    lines = (path / files.SUMS).read_text().splitlines()
    return {line[66:]: line[:64] for line in lines}


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


Change = Callable[[Forge], None]


def forged(small: Path, tmp_path: Path, change: Change) -> ProgramError:
    forge = Forge(small)
    change(forge)
    return refused(forge.save(tmp_path / "forged.cim"))


def manifest_change(path: str, value: object) -> Change:
    def change(forge: Forge) -> None:
        *parents, key = path.split(".")
        node = forge.manifest
        for parent in parents:
            node = node[int(parent)] if parent.isdigit() else node[parent]
        node[int(key) if key.isdigit() else key] = value

    return change


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


def tensor_change(name: str, index: object, value: float) -> Change:
    def change(forge: Forge) -> None:
        forge.tensors[name][index] = value

    return change


TILES = "layer/fc1/tiles"


@pytest.mark.parametrize(
    ("name", "index", "value", "code"),
    [
        # group, row_tile, row, rows, column, columns, array, array_row, array_column
        (TILES, (0, 0), 1, "CIMC-P20"),
        (TILES, (0, 0), -1, "CIMC-P20"),
        (TILES, (0, 0), 2**31 - 1, "CIMC-P20"),
        (TILES, (0, 1), 3, "CIMC-P20"),
        (TILES, (0, 1), -1, "CIMC-P20"),
        (TILES, (0, 1), 1, "CIMC-P20"),
        (TILES, (0, 2), 1, "CIMC-P20"),
        (TILES, (0, 3), 31, "CIMC-P20"),
        (TILES, (0, 3), 2**31 - 1, "CIMC-P20"),
        (TILES, (0, 4), 1, "CIMC-P20"),
        (TILES, (0, 4), -(2**31), "CIMC-P20"),
        (TILES, (0, 5), 13, "CIMC-P20"),
        (TILES, (0, 5), 0, "CIMC-P20"),
        (TILES, (0, 5), -5, "CIMC-P20"),
        (TILES, (0, 5), 2**31 - 1, "CIMC-P20"),
        (TILES, (0, 6), 24, "CIMC-P21"),
        (TILES, (0, 6), -1, "CIMC-P21"),
        (TILES, (0, 6), 2, "CIMC-P21"),  # on another tile
        (TILES, (0, 7), 1, "CIMC-P21"),
        (TILES, (0, 7), -1, "CIMC-P21"),
        (TILES, (0, 7), 2**31 - 1, "CIMC-P21"),
        (TILES, (0, 8), 1, "CIMC-P21"),
        (TILES, (0, 8), -1, "CIMC-P21"),
        (TILES, (0, 8), 2**31 - 1, "CIMC-P21"),
        ("layer/fc1/row_tiles", (0, 0), 1, "CIMC-P20"),
        ("layer/fc1/row_tiles", (0, 1), 31, "CIMC-P20"),
        ("layer/fc1/row_tiles", (1, 1), 2**31 - 1, "CIMC-P20"),
        ("layer/fc1/row_tiles", (1, 1), 0, "CIMC-P20"),
        ("layer/fc1/states_us", 3, float("nan"), "CIMC-P19"),
        ("layer/fc1/states_us", 3, float("inf"), "CIMC-P19"),
        ("layer/fc1/states_us", 3, 100.0, "CIMC-P19"),
        ("layer/fc1/states_us", 3, -1.0, "CIMC-P19"),
        ("layer/fc1/gain", 0, float("nan"), "CIMC-P22"),
        ("layer/fc1/gain", 0, float("-inf"), "CIMC-P22"),
        ("layer/fc1/adc0_us", 0, 0.0, "CIMC-P22"),
        ("layer/fc1/adc0_us", 1, float("nan"), "CIMC-P22"),
        ("layer/fc1/adc0_us", 2, float("inf"), "CIMC-P22"),
        ("layer/fc1/adc0_us", (0, 0, 0), -1.0, "CIMC-P22"),
        ("faults/cells", (0, 0), 24, "CIMC-P24"),
        ("faults/cells", (0, 0), -1, "CIMC-P24"),
        ("faults/cells", (0, 1), 32, "CIMC-P24"),
        ("faults/cells", (0, 2), 24, "CIMC-P24"),
        ("faults/cells", (0, 3), 4, "CIMC-P24"),
        ("faults/conductance_us", 0, float("nan"), "CIMC-P24"),
        ("faults/conductance_us", 0, -1.0, "CIMC-P24"),
    ],
)
def test_tables_signed_again(small, tmp_path, name, index, value, code):
    assert forged(small, tmp_path, tensor_change(name, index, value)).code == code


def test_states_beyond_the_table(small, tmp_path):
    def change(forge: Forge) -> None:
        forge.layer("fc1")["cells"]["states"] = 15
        forge.tensors["layer/fc1/states_us"] = torch.linspace(2.1, 17.85, 15)
        forge.tensors["layer/fc1/plane0"][0, 0, 0] |= 0x0F

    assert forged(small, tmp_path, change).code == "CIMC-P19"


def test_padding_bits(small, tmp_path):
    def change(forge: Forge) -> None:  # conv has 5 columns of 4 bits
        forge.tensors["layer/conv/plane1"][0, 0, -1] |= 0x10

    error = forged(small, tmp_path, change)
    assert (error.code, "padding" in error.message) == ("CIMC-P19", True)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("layer/fc1/tiles", torch.zeros(6, 9), "CIMC-P10"),
        ("layer/fc1/tiles", torch.zeros(6, 8, dtype=torch.int32), "CIMC-P10"),
        ("layer/fc1/tiles", torch.zeros(0, 9, dtype=torch.int32), "CIMC-P10"),
        ("layer/fc1/plane0", torch.zeros(1, 80, 20), "CIMC-P10"),
        ("layer/fc1/plane0", torch.zeros(1, 80, 9, dtype=torch.uint8), "CIMC-P10"),
        ("layer/fc1/plane0", torch.zeros(800, dtype=torch.uint8), "CIMC-P10"),
        ("layer/fc1/gain", torch.ones(2), "CIMC-P22"),
        ("layer/fc1/gain", torch.ones(0), "CIMC-P22"),
        ("layer/fc1/gain", torch.ones(1, dtype=torch.float64), "CIMC-P10"),
        ("layer/fc1/gain", torch.ones(()), "CIMC-P10"),
        ("layer/fc1/states_us", torch.ones(17), "CIMC-P10"),
        ("layer/fc1/adc0_us", torch.ones(1), "CIMC-P10"),
        ("layer/fc1/adc0_us", torch.ones(3), "CIMC-P10"),
        ("layer/fc1/adc0_us", torch.ones(3, 1, 1, dtype=torch.float64), "CIMC-P10"),
        ("layer/fc1/adc0_us", torch.ones(4, 1, 1), "CIMC-P10"),
        ("layer/fc1/adc0_us", torch.ones(3, 2, 1), "CIMC-P22"),
        ("layer/fc1/adc0_us", torch.ones(3, 1, 2), "CIMC-P22"),
        ("layer/fc1/adc0_us", torch.ones(3, 1, 0), "CIMC-P22"),
        ("layer/fc1/adc0_us", torch.ones(3, 0, 1), "CIMC-P22"),
        ("layer/fc1/surprise", torch.ones(1), "CIMC-P10"),
        ("layer/fc9/gain", torch.ones(1), "CIMC-P10"),
        ("surprise", torch.ones(1), "CIMC-P10"),
        ("constant/surprise", torch.ones(1), "CIMC-P14"),
        ("faults/cells", torch.zeros(2, 5, dtype=torch.int32), "CIMC-P10"),
    ],
)
def test_tensors_of_the_wrong_kind(small, tmp_path, name, value, code):
    def change(forge: Forge) -> None:
        forge.tensors[name] = value

    assert forged(small, tmp_path, change).code == code


@pytest.mark.parametrize("name", ["constant/bias", "layer/fc1/plane1", "layer/fc1/tiles"])
def test_missing_tensors(small, tmp_path, name):
    def change(forge: Forge) -> None:
        del forge.tensors[name]

    assert forged(small, tmp_path, change).code in ("CIMC-P10", "CIMC-P14")


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        (files.GOLDEN, "input/z", torch.ones(1)),
        (files.GOLDEN, "input/x", torch.ones(1, 2, 6, 6, dtype=torch.float64)),
        (files.GOLDEN, "input/x", torch.ones(3)),
        (files.GOLDEN, "output/z", torch.ones(1)),
        (files.GOLDEN, "layer/relu", torch.ones(1)),
        (files.CALIBRATION, "input/x", torch.ones(3)),
        (files.CALIBRATION, "weight/z", torch.ones(3)),
        (files.CALIBRATION, "weight/fc1", torch.ones(3)),
        (files.CALIBRATION, "weight/fc1", torch.full((1, 80, 20), torch.nan)),
        (files.CALIBRATION, "mean/relu", torch.ones(3)),
        (files.CALIBRATION, "mean/fc2", torch.full((10,), torch.inf)),
    ],
)
def test_vectors_of_the_wrong_kind(small, tmp_path, file, name, value):
    def change(forge: Forge) -> None:
        forge.blobs[file][name] = value

    assert forged(small, tmp_path, change).code == "CIMC-P23"


@pytest.mark.parametrize("file", [files.GOLDEN, files.CALIBRATION])
def test_vectors_that_belong_to_nothing(small, tmp_path, file):
    def change(forge: Forge) -> None:
        forge.blobs[file]["surprise/x"] = torch.ones(1)

    assert forged(small, tmp_path, change).code == "CIMC-P10"


def test_tensor_checksums_that_lie(small, tmp_path):
    forge = Forge(small)
    table = dict(forge.manifest["files"][files.PROGRAM]["tensors"])
    dtype, shape, _ = table["constant/bias"]
    table["constant/bias"] = [dtype, shape, "0" * 64]
    forge.tensors_of[files.PROGRAM] = table
    error = refused(forge.save(tmp_path / "forged.cim"))
    assert error.code == "CIMC-P04"
    assert "constant/bias" in error.where


def test_aliasing_tensors(small, tmp_path):
    """Two names for the same bytes, and a file that is shorter for it."""
    forge = Forge(small)
    data = (small / files.PROGRAM).read_bytes()
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].decode()
    entry = '"constant/bias":{"dtype":"F32","shape":[5],"data_offsets":'
    start = text.index(entry) + len(entry)
    end = text.index("}", start)
    changed = text[:start] + "[0,20]" + text[end:]
    changed = changed.rstrip(" ")
    changed += " " * (-len(changed) % 8)
    head = len(changed).to_bytes(8, "little") + changed.encode()
    forge.raw[files.PROGRAM] = head + data[8 + length :]
    assert refused(forge.save(tmp_path / "forged.cim")).code == "CIMC-P09"


def test_huge_shapes_of_a_small_file(small, tmp_path):
    forge = Forge(small)
    text = '{"constant/bias":{"dtype":"F32","shape":[281474976710655,4],"data_offsets":[0,16]}}'
    text += " " * (-len(text) % 8)
    forge.raw[files.PROGRAM] = len(text).to_bytes(8, "little") + text.encode() + b"\0" * 16
    assert refused(forge.save(tmp_path / "forged.cim")).code == "CIMC-P09"


def test_booleans_that_are_not(tmp_path):
    program = mlp(extras=False)
    write(program, tmp_path / "p.cim")
    forge = Forge(tmp_path / "p.cim")
    forge.tensors["constant/bias"] = torch.ones(5, dtype=torch.uint8)
    text = forge.save(tmp_path / "f.cim")
    data = (text / files.PROGRAM).read_bytes()
    assert b'"constant/bias":{"dtype":"U8"' in data
    forge.tensors["constant/bias"] = torch.ones(5, dtype=torch.bool)
    good = forge.save(tmp_path / "g.cim")
    raw = (good / files.PROGRAM).read_bytes()
    forge.raw[files.PROGRAM] = raw[:-5] + b"\1\1\7\1\1"
    read_good = read(good)
    assert read_good.constants["bias"].dtype == torch.bool
    forge.tensors_of[files.PROGRAM] = rehashed(forge, good, b"\1\1\7\1\1")
    assert refused(forge.save(tmp_path / "h.cim")).code == "CIMC-P09"


def rehashed(forge: Forge, path: Path, content: bytes) -> dict[str, object]:
    import hashlib

    table = Forge(path).manifest["files"][files.PROGRAM]["tensors"]
    table["constant/bias"] = ["BOOL", [5], hashlib.sha256(content).hexdigest()]
    return dict(table)


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


def opaque_program(path: Path, model: bytes, **changes: object) -> Path:
    """Write a program whose second operation is opaque, forged in after writing."""
    write(mlp(extras=False), path.with_name("base.cim"))
    forge = Forge(path.with_name("base.cim"))
    forge.tensors["constant/model"] = torch.frombuffer(bytearray(model), dtype=torch.uint8)
    forge.operation("relu").update(
        op="opaque", inputs=["@model", "%c"], attributes={"outputs": 1}, **changes
    )
    return forge.save(path)


def relu_model() -> onnx.ModelProto:
    value = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in "ab"]
    node = onnx.helper.make_node("Relu", ["a"], ["b"])
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:]))


def test_an_opaque_operator_is_accepted(tmp_path):
    model = relu_model().SerializeToString()
    assert read(opaque_program(tmp_path / "p.cim", model)).operations[1].op == "opaque"


def external() -> bytes:
    model = relu_model()
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.initializer.append(tensor)
    return model.SerializeToString()


def external_in_a_branch() -> bytes:
    inner = onnx.load_from_string(external()).graph
    node = onnx.helper.make_node("If", ["a"], ["b"], then_branch=inner, else_branch=inner)
    model = relu_model()
    del model.graph.node[:]
    model.graph.node.append(node)
    return model.SerializeToString()


def foreign() -> bytes:
    model = relu_model()
    model.graph.node[0].domain = "com.evil"
    return model.SerializeToString()


@pytest.mark.parametrize(
    "model",
    [b"not a model" * 9, external(), external_in_a_branch(), foreign(), b"\xff" * 100],
    ids=["garbage", "external", "external-in-branch", "foreign", "bytes"],
)
def test_opaque_operators_refused(tmp_path, model):
    assert refused(opaque_program(tmp_path / "p.cim", model)).code == "CIMC-P17"


def test_opaque_model_must_be_a_constant_of_bytes(tmp_path):
    model = relu_model().SerializeToString()
    path = opaque_program(tmp_path / "p.cim", model)
    forge = Forge(path)
    forge.operation("relu")["inputs"] = ["%c", "@model"]
    assert refused(forge.save(tmp_path / "q.cim")).code == "CIMC-P17"
    forge = Forge(path)
    forge.tensors["constant/model"] = torch.ones(3)
    assert refused(forge.save(tmp_path / "r.cim")).code == "CIMC-P17"


def test_many_overlapping_tiles_take_little_time(small, tmp_path):
    """A table of 200,000 tiles, all in one place."""
    count = 200_000

    def change(forge: Forge) -> None:
        forge.layer("fc1")["tiles"] = count
        forge.tensors[TILES] = forge.tensors[TILES][:1].repeat(count, 1)

    assert forged(small, tmp_path, change).code == "CIMC-P20"


def test_unlimited_arrays_cannot_be_made_huge(tmp_path):
    write(mlp("signed", extras=False), tmp_path / "p.cim")
    for column in (7, 8):
        forge = Forge(tmp_path / "p.cim")
        forge.tensors["layer/fc1/tiles"][0, column] = 2**30
        error = refused(forge.save(tmp_path / f"{column}.cim"))
        assert error.code == "CIMC-P21"


def test_float_planes_with_nan(tmp_path):
    for encoding in ("signed", "differential-pair", "offset-column"):
        write(mlp(encoding, states=None, extras=False), tmp_path / f"{encoding}.cim")
        forge = Forge(tmp_path / f"{encoding}.cim")
        forge.tensors["layer/fc1/plane0"][0, 7, 3] = torch.nan
        assert refused(forge.save(tmp_path / f"{encoding}-f.cim")).code == "CIMC-P19"


def test_without_verification_the_content_is_still_checked(small, tmp_path):
    forge = Forge(small)
    forge.tensors[TILES][0, 6] = 99
    path = forge.save(tmp_path / "p.cim")
    with pytest.raises(ProgramError) as caught:
        read(path, verify=False)
    assert caught.value.code == "CIMC-P21"
    write(mlp("signed", extras=False), tmp_path / "s.cim")
    forge = Forge(tmp_path / "s.cim")
    forge.tensors["layer/fc1/plane0"][0, 7, 3] = torch.inf
    with pytest.raises(ProgramError) as caught:
        read(forge.save(tmp_path / "t.cim"), verify=False)
    assert caught.value.code == "CIMC-P19"


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="peaks are kept")
def test_much_memory_is_noticed():
    with pytest.raises(AssertionError), little_memory():
        np.ones(MEMORY << 8)  # twice the bound, given back at once


def test_sums_text_is_sorted():
    assert sums_text({"b": "1", "a": "2"}) == "2  a\n1  b\n"

"""Broken and hostile files: one clear error each, in bounded time and memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cimc.program import files, read, write
from cimc.program.directory import sums_text
from tests.program.factories import mlp
from tests.program.forge import Forge, sign
from tests.program.hostile import MEMORY, little_memory, refused, sums_of

#: Changed copies of each file that are tried, for each kind of change.
FLIPS = 200
CUTS = 100


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


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="peaks are kept")
def test_much_memory_is_noticed():
    with pytest.raises(AssertionError), little_memory():
        np.ones(MEMORY << 8)  # twice the bound, given back at once


def test_sums_text_is_sorted():
    assert sums_text({"b": "1", "a": "2"}) == "2  a\n1  b\n"

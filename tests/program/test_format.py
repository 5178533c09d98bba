"""A second reader, written from docs/program-format.md alone: it must see the same program."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import yaml

from cimc.executor import Executor
from cimc.program import read, write
from cimc.program.arrays import conductance_us
from tests.program.factories import KINDS, mlp, with_maps


def state(row: np.ndarray, j: int, bits: int) -> int:
    """The C function of the page, line by line."""
    at = j * bits
    value = int(row[at // 8]) >> (at % 8)
    if at % 8 + bits > 8:
        value |= int(row[at // 8 + 1]) << (8 - at % 8)
    return value & ((1 << bits) - 1)


class Reader:
    """What the page says, with PyYAML and the safetensors library."""

    def __init__(self, path: Path) -> None:
        for line in (path / "SHA256SUMS").read_text().splitlines():
            digest, name = line.split("  ")
            assert hashlib.sha256((path / name).read_bytes()).hexdigest() == digest
        self.digest = hashlib.sha256((path / "SHA256SUMS").read_bytes()).hexdigest()
        self.manifest = yaml.safe_load((path / "program.yaml").read_text())
        self.tensors = safetensors.numpy.load_file(path / "program.safetensors")

    def layer(self, name: str) -> dict[str, Any]:
        return next(x for x in self.manifest["layers"] if x["name"] == name)

    def planes(self, layer: dict[str, Any]) -> list[np.ndarray]:
        name, bits = layer["name"], layer["cells"]["bits"]
        out = []
        for k in range(layer["cells"]["planes"]):
            plane = self.tensors[f"layer/{name}/plane{k}"]
            if bits is not None:
                width = layer["geometry"]["columns"]
                if layer["encoding"] == "offset-column" and k == 1:
                    width = len(set(self.tensors[f"layer/{name}/tiles"][:, 4].tolist()))
                table = self.tensors[f"layer/{name}/states_us"]
                rows = plane.reshape(-1, plane.shape[-1])
                values = [[table[..., state(r, j, bits)] for j in range(width)] for r in rows]
                if table.ndim == 2:  # entry g*C + c is the table of column c of group g
                    groups, height, c = plane.shape[0], plane.shape[1], width
                    values = [
                        [v[k // height * c + j] for j, v in enumerate(row)]
                        for k, row in enumerate(values)
                    ]
                    assert len(table) == groups * c
                plane = np.array(values, np.float32).reshape(*plane.shape[:2], width)
            out.append(plane)
        return out

    def array(self, k: int, shape: tuple[int, int], idle: float) -> np.ndarray:
        out = np.full(shape, idle, np.float32)
        for layer in self.manifest["layers"]:
            tiles = self.tensors[f"layer/{layer['name']}/tiles"].tolist()
            starts = sorted({t[4] for t in tiles})
            planes = self.planes(layer)
            twin = self.manifest["target"]["pair"]["placement"] == "twin-arrays"
            step = {"differential-pair": 2, "bit-sliced": len(planes)}.get(layer["encoding"], 1)
            step = 1 if twin else step
            words, bits = self.maps(layer["name"])
            for g, _, row, rows, column, columns, array, top, left in tiles:
                # The two C functions of the page.
                word = words[:rows] if words is not None else top + np.arange(rows)
                offset = layer["encoding"] == "offset-column"
                wide = columns + offset
                bit = bits[:wide] if bits is not None else left + step * np.arange(wide)
                words = None if words is None else words[rows:]
                bits = None if bits is None else bits[wide:]
                if offset and array == k:
                    part = planes[1][g, row : row + rows, starts.index(column)]
                    out[word, bit[columns]] = part
                for j, plane in enumerate(planes[:1] if offset else planes):
                    if array + (j if twin else 0) == k:
                        here = np.ix_(word, bit[:columns] + (j if step > 1 else 0))
                        out[here] = plane[g, row : row + rows, column : column + columns]
        return out

    def maps(self, layer: str) -> list[Any]:
        return [self.tensors.get(f"layer/{layer}/{kind}_lines") for kind in ("word", "bit")]

    def lanes(self, layer: dict[str, Any]) -> list[tuple[np.ndarray, Any]]:
        """dG of group 0, (rows, columns), and multiplier of each current of a weight column."""
        planes = self.planes(layer)
        if layer["encoding"] == "offset-column":
            return [(self.difference(layer), 1.0)]
        wide = [plane[0].astype(np.float64) for plane in planes]
        if layer["encoding"] == "differential-pair":
            return [(wide[0] - wide[1], 1.0)]
        factors = self.tensors.get(f"layer/{layer['name']}/multipliers")
        if factors is None:
            return [(sum(wide), 1.0)]
        return list(zip(wide, factors.astype(np.float64), strict=True))

    def difference(self, layer: dict[str, Any]) -> np.ndarray:
        """G less that of the offset cells, of group 0."""
        planes = self.planes(layer)
        out = planes[0][0].astype(np.float64)
        tiles = self.tensors[f"layer/{layer['name']}/tiles"].tolist()
        starts = sorted({t[4] for t in tiles})
        for _, _, row, rows, column, columns, *_ in tiles:
            offset = planes[1][0, row : row + rows, starts.index(column)]
            out[row : row + rows, column : column + columns] -= offset[:, None]
        return out

    def product(self, name: str, x: np.ndarray) -> np.ndarray:
        """What the page says under 'Reading a layer'."""
        layer = self.layer(name)
        dac, adc = layer["uses"][0]["dac"], layer["uses"][0]["adc"]
        q_dac, q_adc = 2 ** (dac["bits"] - 1) - 1, 2 ** (adc["bits"] - 1) - 1
        x_max = np.float32(dac["x_max"])
        codes = np.clip(np.round(x * (q_dac / x_max)), -q_dac, q_dac)
        full = self.tensors[f"layer/{name}/adc0_us"]
        total = np.zeros((len(x), layer["geometry"]["columns"]))
        for (row, rows), ranges in zip(self.tensors[f"layer/{name}/row_tiles"], full, strict=True):
            part = slice(row, row + rows)
            for (delta, multiplier), i_max in zip(self.lanes(layer), ranges, strict=True):
                inv_lsb = q_adc / (i_max.item() * q_dac)
                code = np.clip(np.round(codes[:, part] @ delta[part] * inv_lsb), -q_adc, q_adc)
                total += multiplier * code / inv_lsb
        correction = self.tensors.get(f"layer/{name}/correction_us", np.zeros(1))
        total += correction * codes.sum(1, keepdims=True)
        return total * self.tensors[f"layer/{name}/gain"] * x_max / q_dac


@pytest.mark.parametrize(
    ("encoding", "states", "shape", "idle"),
    [
        ("differential-pair", 16, (32, 24), 2.1),
        ("differential-pair", 5, (32, 24), 2.1),
        ("offset-column", 9, (32, 14), 2.1),
        ("twin-arrays", 16, (32, 14), 2.1),
        ("bit-sliced", 2, (32, 24), 2.1),
        ("sliced-conductances", 4, (32, 24), 2.1),
        ("sliced-conductances", None, (32, 24), 2.1),
        ("own-states", 16, (32, 24), 2.1),
        ("signed", None, None, 0.0),
    ],
)
@pytest.mark.parametrize("mapped", [False, True])
def test_both_readers_see_the_same_arrays(tmp_path, encoding, states, shape, idle, mapped):
    whole = mlp(encoding, states=states)
    if mapped and shape is None:
        return  # lines of arrays without end are in order
    digest = write(with_maps(whole) if mapped else whole, tmp_path / "p.cim")
    program, second = read(tmp_path / "p.cim"), Reader(tmp_path / "p.cim")
    assert second.digest == digest == program.sha256
    assert second.manifest["arrays"]["used"] == program.arrays
    for k in range(program.arrays):
        expected = conductance_us(program, k)
        assert np.array_equal(second.array(k, shape or expected.shape, idle), expected)


@pytest.mark.parametrize("encoding", [kind for kind in KINDS if kind != "signed"])
def test_the_page_says_what_the_executor_does(tmp_path, encoding):
    write(mlp(encoding, extras=False), tmp_path / "p.cim")
    program, second = read(tmp_path / "p.cim"), Reader(tmp_path / "p.cim")
    x = np.random.default_rng(3).uniform(-2, 2, (4, 2, 6, 6)).astype(np.float32)
    seen = Executor(program, mode="noise-free").run({"x": x}, taps=True).layers
    bias = second.tensors["constant/b2"]
    hidden = np.maximum(seen["fc1"], 0)
    expected = second.product("fc2", hidden) + bias
    # One code of one row tile may round differently in float32 sums.
    step = float(second.tensors["layer/fc2/adc0_us"].max()) / 127 * 0.05 * 2.5
    difference = np.abs(seen["fc2"] - expected)
    assert np.median(difference) < 1e-4
    assert difference.max() < 1.01 * step
    assert np.abs(expected - bias).max() > 5 * step

"""A map against a target, a program and a chip: what is refused, what is only said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cimc.errors import FaultMapError, UsageError
from cimc.faults import (
    FaultMap,
    checked,
    laid_over,
    require_map_for_any_chip,
    require_same_chip,
    same_faults,
    sample,
    save_fault_map,
)
from cimc.ir.geometry import Geometry
from cimc.program.model import DeviceProgram
from cimc.targets import load_target
from tests.executor import programs
from tests.faults.maps import chip_of, made


def program(**changes: object) -> DeviceProgram:
    """40 x 30 pairs in 9 arrays, of 64 x 64 cells unless changed."""
    sizes: dict[str, object] = {"array__rows": 64, "array__columns": 64}
    return programs.one_layer(
        "matmul", programs.quarters((40, 30), 0), Geometry("matrix", 1, 40, 30), ("n", 40),
        rows=16, columns=12, device=programs.target(**(sizes | changes)),
    )  # fmt: skip


def test_the_program_has_nine_arrays() -> None:
    assert program().arrays == 9


def gains(shape: tuple[int, int, int], number: int = 0) -> dict[str, Any]:
    numbers = np.arange(number, number + shape[0], dtype=np.int32)
    return {"gain_arrays": numbers, "gain_lrs": np.ones(shape, np.float32)}


@pytest.mark.parametrize(
    ("code", "message", "fault_map"),
    [
        ("CIMC-F07", "'pcm', not of 'rram'", made(target="pcm")),
        ("CIMC-F08", "no array 4: a chip of target 'rram' has 4", made([(4, 0, 0, 1)])),
        ("CIMC-F08", "no array 9", made(arrays=(0, 9))),
        ("CIMC-F08", "no row 64: an array of target 'rram' has 64", made([(3, 64, 0, 1)])),
        ("CIMC-F08", "no column 64", made([(3, 0, 0, 1), (3, 0, 64, 2)])),
        ("CIMC-F08", "no such cell", made([(3, -1, 0, 1)])),
        ("CIMC-F09", "128 x 64 cells", made(array_rows=128, array_columns=64)),
        ("CIMC-F10", "64 x 32 cells, not of 64 x 64",
         made(arrays=(0,), **gains((1, 64, 32)))),
        ("CIMC-F12", "17850 uS is more than 100 times",
         made([(3, 1, 2, 3)], own_us=(17850.0,))),
        ("CIMC-F05", "nan uS is no conductance", made([(3, 1, 2, 3)], own_us=(np.nan,))),
        ("CIMC-F04", "listed twice", made([(3, 1, 2, 1), (3, 1, 2, 2)])),
        ("CIMC-F06", "no chip id", made(chip="\t")),
    ],
)  # fmt: skip
def test_refused(code: str, message: str, fault_map: FaultMap) -> None:
    with pytest.raises(FaultMapError, match=message) as caught:
        checked(fault_map, chip_of(4))
    assert caught.value.code == code
    assert caught.value.where


def test_a_wrong_cell_is_named() -> None:
    with pytest.raises(FaultMapError) as caught:
        checked(made([(0, 0, 0, 1), (3, 64, 7, 1)]), chip_of(4))
    assert caught.value.where == "fault map of chip 'W3-17': array 3, row 64, column 7"


def test_limits_themselves_are_right() -> None:
    cells = [(0, 0, 0, 1), (3, 63, 63, 3)]
    fault_map = made(cells, own_us=(1785.0,), array_rows=64, array_columns=64)
    found, warnings = checked(fault_map, chip_of(4))
    assert warnings == ()
    assert found.cells is fault_map.cells


def test_a_target_without_conductances() -> None:
    with pytest.raises(FaultMapError) as caught:
        checked(made(target="ideal"), load_target("ideal"))
    assert caught.value.code == "CIMC-F14"


def test_what_the_file_does_not_say_is_filled_in_and_told() -> None:
    found, warnings = checked(made(target=""), chip_of(4, 64, 32))
    assert (found.target, found.array_rows, found.array_columns) == ("rram", 64, 32)
    assert "does not say of which target" in warnings[0]


def test_conductances_that_look_like_siemens() -> None:
    cells = [(0, 0, 0, 3), (0, 0, 1, 3)]
    _, warnings = checked(made(cells, own_us=(4.2e-6, 1.7e-5)), chip_of(4))
    assert "conductances are taken in uS" in warnings[0]
    # Open cells alone are no reason for doubt.
    assert checked(made(cells, own_us=(0.0, 0.0)), chip_of(4))[1] == ()


def test_arrays_of_a_program() -> None:
    """Those it does not use are kept: tiles may be moved there."""
    of = program()
    everything = made([(4000, 1, 1, 1)], arrays=(*range(9), 4000))
    found, warnings = checked(everything, of)
    assert warnings == ()
    assert found.cells.tolist() == [[4000, 1, 1, 1]]
    _, warnings = checked(made(arrays=(0, 1, 2, 5, 7, 8)), of)
    assert "does not describe 3 arrays the program uses (3-4,6)" in warnings[0]
    _, warnings = checked(made(arrays=range(1, 20)), of)
    assert "1 array the program uses (0)" in warnings[0]


def test_gains_of_arrays_without_limits_reach_the_last_line_in_use() -> None:
    """Tiles start at word line 1 and bit line 2; 16 rows, 12 pairs."""
    of = program(array__rows=None, array__columns=None, chip={})
    used = {"arrays": range(9)}
    checked(made(**used, **gains((9, 17, 26))), of)
    for shape in ((9, 16, 26), (9, 17, 25)):
        with pytest.raises(FaultMapError, match="not of at least 17 x 26") as caught:
            checked(made(**used, **gains(shape)), of)
        assert caught.value.code == "CIMC-F10"


def test_maps_that_were_drawn_fit() -> None:
    for subject in (program(), program(array__rows=None, array__columns=None, chip={})):
        drawn = sample(subject, rate=0.1, conductance_share=0.2, sigma_lrs=0.1, row_rate=0.1)
        assert checked(drawn, subject)[1] == ()


def test_another_chip() -> None:
    of = replace(program(), faults=made(chip="A").record())
    require_same_chip(made(chip="A"), of)
    require_same_chip(made(chip="B"), of, any_chip=True)
    require_same_chip(made(chip="B"), program())
    with pytest.raises(FaultMapError, match="chip 'B', the program of chip 'A'") as caught:
        require_same_chip(made(chip="B"), of)
    assert caught.value.code == "CIMC-F11"
    require_map_for_any_chip("map", True)
    with pytest.raises(UsageError):
        require_map_for_any_chip(None, True)


def test_laid_over_a_program(tmp_path: Path) -> None:
    of, fault_map = program(), made([(0, 1, 2, 2)], arrays=range(9))
    save_fault_map(fault_map, tmp_path / "m.safetensors")
    for given in (fault_map, tmp_path / "m.safetensors", str(tmp_path / "m.safetensors")):
        found, warnings = laid_over(of, given)
        assert warnings == ()
        assert same_faults(found.faults, fault_map.record())
        assert replace(found, faults=None) == replace(of, faults=None)


def test_the_same_faults() -> None:
    one = made([(0, 1, 2, 2)]).record()
    assert same_faults(None, None)
    assert not same_faults(one, None)
    assert same_faults(one, made([(0, 1, 2, 2)], chip="other").record())
    assert not same_faults(one, made([(0, 1, 2, 1)]).record())
    assert not same_faults(one, made([(0, 1, 2, 2)], **gains((1, 2, 2))).record())

"""Maps that are drawn: rates, states, lines, gains; bounds as in ``test_points``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cimc.errors import FaultMapError, UsageError
from cimc.faults import Clusters, FaultMap, Rates, sample, save_fault_map
from cimc.faults.extent import extent_of, used_arrays
from cimc.faults.validity import require_valid
from cimc.ir.geometry import Geometry
from cimc.program.model import DeviceProgram
from cimc.targets import load_target
from tests.executor import programs
from tests.faults.maps import chip_of


def near(count: int, trials: int, rate: float) -> bool:
    """Whether a binomial count is within five standard deviations."""
    return abs(count - trials * rate) <= 5 * math.sqrt(trials * rate * (1 - rate))


def test_states_have_their_shares() -> None:
    device = chip_of(32)
    found = sample(device, rate=0.1, lrs_share=0.2, conductance_share=0.3, seed=1)
    require_valid(found)
    cells = 32 * 64 * 64
    counts = np.bincount(found.cells[:, 3], minlength=4).tolist()
    assert near(len(found.cells), cells, 0.1)
    for state, share in ((1, 0.5), (2, 0.2), (3, 0.3)):
        assert near(counts[state], len(found.cells), share)
    own = found.conductance_us[found.cells[:, 3] == 3]
    low, high = device.cell.g_min_us, device.cell.g_max_us
    assert low <= own.min() < low + 0.05 < high - 0.05 < own.max() <= high
    error = (high - low) / math.sqrt(12 * len(own))
    assert abs(own.mean() - (low + high) / 2) < 5 * error
    assert found.conductance_us[found.cells[:, 3] != 3].any() == False  # noqa: E712


def test_conductances_even_in_the_logarithm() -> None:
    options: Any = {"conductance_us": (0.01, 100.0), "spread": "loguniform"}
    found = sample(chip_of(32), rate=0.1, lrs_share=0.0, conductance_share=1.0, **options)
    logs = np.log10(found.conductance_us)
    assert -2 - 1e-6 <= logs.min() <= logs.max() <= 2 + 1e-6
    assert abs(logs.mean()) < 5 * 4 / math.sqrt(12 * len(logs))


def test_whole_lines() -> None:
    """All cells of a broken line are in one state, but where a column crosses a row."""
    arrays, rows, columns = 200, 32, 48
    found = sample(chip_of(arrays, rows, columns), row_rate=0.05, column_rate=0.02, seed=2)
    require_valid(found)
    states = np.zeros((arrays, rows, columns), int)
    states[tuple(found.cells[:, :3].T)] = found.cells[:, 3]
    column = (states > 0).all(axis=1)
    row = (states > 0).all(axis=2)
    assert ((states > 0) == (row[:, :, None] | column[:, None, :])).all()
    assert near(int(row.sum()), arrays * rows, 0.05)
    assert near(int(column.sum()), arrays * columns, 0.02)
    for array, line in np.argwhere(column).tolist():
        assert len(set(states[array, :, line])) == 1
    for array, line in np.argwhere(row).tolist():
        assert len(set(states[array, line, ~column[array]])) == 1
    high = states.transpose(0, 2, 1)[column][:, 0] == 2
    assert near(int(high.sum()), int(column.sum()), 0.5)


def test_everything_together_has_the_expected_rate() -> None:
    given: Any = {"rate": 0.04, "clusters": Clusters(0.6, 10.0, 3.0), "row_rate": 0.01,
                  "column_rate": 0.02}  # fmt: skip
    device = chip_of(400, 32, 32)
    found = sample(device, seed=3, **given)
    require_valid(found)
    per_array = np.bincount(found.cells[:, 0], minlength=400) / 1024
    error = per_array.std(ddof=1) / math.sqrt(400)
    assert abs(per_array.mean() - Rates(**given).expected) < 5 * error
    assert Rates(**given).expected == pytest.approx(1 - 0.96 * 0.99 * 0.98)
    alone = sample(device, seed=3, rate=0.04, clusters=Clusters(0.6, 10.0, 3.0))
    per_array = np.bincount(alone.cells[:, 0], minlength=400) / 1024
    assert abs(per_array.mean() - 0.04) < 5 * per_array.std(ddof=1) / math.sqrt(400)


def test_rates_of_states() -> None:
    rates = Rates.of_states(0.03, 0.01, 0.01, row_rate=0.1)
    assert rates.rate == pytest.approx(0.05)
    assert (rates.lrs_share, rates.conductance_share) == pytest.approx((0.2, 0.2))
    assert rates.row_rate == 0.1
    assert Rates.of_states(0.0, 0.0).rate == 0.0


@pytest.mark.parametrize("distribution", ["normal", "lognormal"])
def test_gains(distribution: Any) -> None:
    """Mean 1 and the deviation asked for, lognormal ones with the skewness of their kind."""
    sigma = 0.2
    found = sample(chip_of(16), sigma_lrs=sigma, sigma_hrs=0.05, distribution=distribution)
    require_valid(found)
    assert found.cells.shape == (0, 4)
    assert found.gain_arrays is not None
    assert found.gain_arrays.tolist() == list(range(16))
    for gain, wanted in ((found.gain_lrs, sigma), (found.gain_hrs, 0.05)):
        assert gain is not None
        assert gain.shape == (16, 64, 64)
        count = gain.size
        assert abs(gain.mean(dtype=np.float64) - 1) < 5 * wanted / math.sqrt(count)
        assert gain.std(dtype=np.float64) == pytest.approx(wanted, rel=0.03)
    skewness = float((((found.gain_lrs - 1) / sigma) ** 3).mean())
    assert skewness == pytest.approx(
        0 if distribution == "normal" else 3 * sigma + sigma**3, abs=0.06
    )


def test_one_gain_alone_and_no_factor_below_0() -> None:
    found = sample(chip_of(4), sigma_lrs=1.0)
    require_valid(found)
    assert found.gain_hrs is None
    assert found.gain_lrs is not None
    assert near(int((found.gain_lrs == 0).sum()), found.gain_lrs.size, 0.158655)


def only(found: FaultMap, array: int) -> list[list[int]]:
    return found.cells[found.cells[:, 0] == array].tolist()


def test_an_array_has_the_same_faults_whatever_else_there_is() -> None:
    given: Any = {"rate": 0.02, "clusters": Clusters(0.5), "seed": 9}
    few, many = sample(chip_of(3), **given), sample(chip_of(8), **given)
    assert only(few, 2) == only(many, 2) != []
    # Another kind of fault adds cells and leaves the others where they are.
    lines = sample(chip_of(3), row_rate=0.1, **given)
    assert {tuple(c[:3]) for c in only(few, 2)} <= {tuple(c[:3]) for c in only(lines, 2)}
    assert only(sample(chip_of(3), **(given | {"seed": 10})), 2) != only(few, 2)


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        found = sample(chip_of(3), rate=0.1, sigma_lrs=0.1, clusters=Clusters(0.3), seed=4)
        assert found.chip == "chip-4"
        save_fault_map(found, tmp_path / f"{name}.safetensors")
        files.append((tmp_path / f"{name}.safetensors").read_bytes())
    assert files[0] == files[1]


def program(rows: int | None, columns: int | None) -> DeviceProgram:
    weight = programs.quarters((40, 30), 0)
    return programs.one_layer(
        "matmul", weight, Geometry("matrix", 1, 40, 30), ("n", 40), rows=16, columns=12,
        device=programs.target(array__rows=rows, array__columns=columns, chip={}),
    )  # fmt: skip


def test_a_program_has_faults_where_it_has_arrays() -> None:
    of = program(64, 64)
    found = sample(of, rate=0.1, seed=5)
    used = used_arrays(of)
    assert found.arrays.tolist() == used.tolist() == list(range(of.arrays))
    whole = sample(programs.target(array__rows=64, array__columns=64), rate=0.1, seed=5)
    assert only(found, 3) == only(whole, 3) != []


def test_unlimited_arrays_end_with_the_last_line_in_use() -> None:
    of = program(None, None)
    extent = extent_of(of)
    found = sample(of, rate=1.0)
    # Tiles start at word line 1 and bit line 2 ('programs.layer'); pairs take two bit lines.
    assert extent.rows.max() == 1 + 16
    assert extent.columns.max() == 2 + 2 * 12
    assert len(found.cells) == extent.cells
    assert (found.array_rows, found.array_columns) == (None, None)
    require_valid(found)


def test_a_whole_large_chip_is_drawn_without_its_healthy_cells() -> None:
    found = sample(load_target("rram"), rate=1e-3, seed=6)
    assert len(found.arrays) == 4096
    assert near(len(found.cells), 4096 * 256 * 256, 1e-3)
    assert found.cells[-1, 0] == 4095


@pytest.mark.parametrize(
    "given",
    [
        {"rate": 5.0}, {"rate": float("nan")}, {"lrs_share": 0.7, "conductance_share": 0.7},
        {"sigma_lrs": -1.0}, {"spread": "even"}, {"distribution": "even"},
        {"conductance_us": (5.0, 2.0)}, {"conductance_us": (0.0, 2.0), "spread": "loguniform"},
        {"rate": 0.1, "clusters": Clusters(2.0)}, {"rate": 1.0, "clusters": Clusters()},
        {"clusters": Clusters(cells=0.0)}, {"clusters": Clusters(radius=1e9)},
    ],
)  # fmt: skip
def test_out_of_range(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        sample(chip_of(), **given)
    assert caught.value.code == "CIMC-U02"


def test_chips_that_cannot_be_drawn() -> None:
    with pytest.raises(FaultMapError) as caught:
        sample(load_target("ideal"), rate=0.1)
    assert caught.value.code == "CIMC-F14"
    for changes in ({"chip": {}}, {"array.rows": None}):
        with pytest.raises(FaultMapError, match="does not limit") as caught:
            sample(load_target("rram").changed(changes), rate=0.1)
        assert caught.value.code == "CIMC-F13"
    with pytest.raises(FaultMapError) as caught:
        sample(chip_of(), rate=0.1, chip="")
    assert caught.value.code == "CIMC-F06"


def test_certain_arrays() -> None:
    """Of a program also those it does not use, each with the faults that a whole chip has."""
    of, numbers = program(64, 64), np.array([1, 8, 30], np.int32)
    device = programs.target(array__rows=64, array__columns=64, chip={})
    for subject in (of, device):
        found = sample(subject, rate=0.1, seed=5, arrays=numbers)
        assert found.arrays.tolist() == [1, 8, 30]
        assert np.unique(found.cells[:, 0]).tolist() == [1, 8, 30]
        assert only(found, 8) == only(sample(of, rate=0.1, seed=5), 8)
    with pytest.raises(FaultMapError, match="no array 30") as caught:
        sample(chip_of(30), rate=0.1, arrays=numbers)
    assert caught.value.code == "CIMC-F08"
    with pytest.raises(FaultMapError) as caught:
        sample(program(None, None), rate=0.1, arrays=numbers)
    assert caught.value.code == "CIMC-F13"

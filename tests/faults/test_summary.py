import json
from typing import Any

import numpy as np
import pytest

from cimc.faults import FaultMap, sample
from cimc.faults.summary import summarize
from tests.faults.maps import chip_of, full, made


def test_figures_of_a_small_map() -> None:
    found = summarize(full()).to_json()
    json.dumps(found, allow_nan=False)
    assert found["arrays"] == 4
    assert found["tested_arrays"] == "0-2,5"
    assert (found["cells"], found["faulty_cells"]) == (48, 5)
    assert found["rate"] == 5 / 48
    assert [found[n] for n in ("at_g_min", "at_g_max", "at_conductance")] == [2, 1, 2]
    assert found["conductance_us"]["max"] == 7.25
    assert found["array_faulty_cells"] == {"min": 0.0, "median": 1.5, "max": 2.0}
    assert [w["array"] for w in found["worst_arrays"]] == [0, 5, 2]
    assert found["worst_arrays"][0] == {"array": 0, "faulty_cells": 2, "rate": 2 / 12}
    assert found["gain_arrays"] == 2
    lrs = full().gain_lrs
    assert lrs is not None
    assert found["sigma_lrs"] == pytest.approx(float(lrs.std()), rel=1e-5)


def states(fault_map: FaultMap, rows: int, columns: int) -> Any:
    """Dense, the slow and obvious way."""
    out = np.zeros((int(fault_map.arrays[-1]) + 1, rows, columns), int)
    for array, row, column, state in fault_map.cells.tolist():
        out[array, row, column] = state
    return out


def test_against_a_dense_count() -> None:
    device = chip_of(30, 10, 6)
    fault_map = sample(device, rate=0.3, row_rate=0.05, column_rate=0.1, conductance_share=0.2)
    summary, dense = summarize(fault_map), states(fault_map, 10, 6)
    for state in (1, 2, 3):
        assert np.array_equal(summary.counts[:, state - 1], (dense == state).sum(axis=(1, 2)))
    assert summary.rows.tolist() == np.argwhere((dense > 0).all(axis=2)).tolist() != []
    assert summary.columns.tolist() == np.argwhere((dense > 0).all(axis=1)).tolist() != []
    total = (dense > 0).sum(axis=(1, 2))
    assert total[summary.worst].tolist() == sorted(total.tolist(), reverse=True)[:10]
    lines = summary.to_json()["broken_lines"]
    assert len(lines) == len(summary.rows) + len(summary.columns)


def test_nothing_is_made_up_where_sizes_are_unknown() -> None:
    for fault_map in (made([(0, 0, 0, 1)]), made(), made(arrays=(3,))):
        found = summarize(fault_map).to_json()
        assert (found["cells"], found["rate"], found["broken_rows"]) == (None, None, 0)
    assert summarize(made()).worst.tolist() == []

"""States nearest to conductances, against a search through all states of all cells."""

from __future__ import annotations

import pytest
import torch

from cimc.remap.reachable_states import nearest_state


@pytest.mark.parametrize("different", [2, 5, 500], ids=["two values", "few", "many"])
def test_nearest_state_of_columns(different: int) -> None:
    draw = torch.Generator().manual_seed(different)
    table = torch.rand((7, 6), generator=draw) * 20  # in no order
    table[:, 4] = table[:, 1]  # equally near: the first counts
    values = torch.rand(different, generator=draw) * 20
    g_us = values[torch.randint(different, (400,), generator=draw)]
    column = torch.randint(7, (400,), generator=draw, dtype=torch.int32)
    away = (table.double()[column.long()] - g_us.double()[:, None]).abs()
    expected = [row.index(min(row)) for row in away.tolist()]
    found = nearest_state(g_us, table, column)
    assert found.dtype == torch.uint8
    assert found.tolist() == expected
    assert 4 not in expected

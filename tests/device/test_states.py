"""Tables of states."""

import numpy as np
import pytest
import torch

from cimc.device import states as module
from cimc.device.states import look_up


@pytest.mark.parametrize("at_once", [1, 7, 1 << 20])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 30, 5), (6, 4, 1), (1, 3, 40)])
def test_each_cell_has_the_state_of_its_column(monkeypatch, shape, at_once):
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    groups, _, columns = shape
    table = torch.from_numpy(rng.random((groups * columns, 6)).astype(np.float32))
    plane = torch.from_numpy(rng.integers(0, 6, shape).astype(np.uint8))
    got = look_up(table, plane)
    assert got.dtype == torch.float32
    for (g, r, c), state in np.ndenumerate(plane.numpy()):
        assert got[g, r, c] == table[g * columns + c, state]
    assert torch.equal(look_up(table[0], plane), table[0][plane.long()])

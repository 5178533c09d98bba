"""Codebooks read off cells: what states say is what sorting the weights says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.device.states import look_up
from cimc.ir.layer import Cells
from cimc.lowering.levels import LEVELS, codebook_of


def pair(states: int, shape: tuple[int, int, int], *, seed: int = 0) -> tuple[Cells, torch.Tensor]:
    """Cells with states of their own in every column, one state never used; and their weights."""
    draw = np.random.default_rng(seed)
    groups, _, columns = shape
    table = np.sort(draw.uniform(1.0, 20.0, (groups * columns, states)), 1).astype(np.float32)
    table[0] = np.round(table[0])  # differences of states that are equal, or nearly
    planes = tuple(
        torch.tensor(draw.integers(0, states - 1, shape), dtype=torch.uint8) for _ in range(2)
    )
    gain = torch.tensor(draw.uniform(-1.0, 1.0, groups * columns), dtype=torch.float32)
    cells = Cells(planes, torch.from_numpy(table), gain)
    plus, minus = (look_up(cells.states_us, plane) for plane in planes)
    return cells, (plus - minus) * gain.reshape(groups, 1, columns)


@pytest.mark.parametrize("states", [3, 9, 16, 17])
@pytest.mark.parametrize("shape", [(1, 40, 3), (2, 7, 5), (1, 70000, 2)])
def test_levels_are_the_weights_there_are(states: int, shape: tuple[int, int, int]) -> None:
    cells, matrix = pair(states, shape)
    book = codebook_of(cells, matrix)
    columns = matrix.transpose(1, 2).reshape(-1, shape[1])
    wanted = [torch.unique(column) for column in columns]
    if max(map(len, wanted)) > LEVELS:
        assert book is None
        return
    assert book is not None
    assert torch.equal(book.values(), matrix)
    assert book.codes.is_contiguous()
    assert book.levels.shape[1] == max(map(len, wanted))
    for levels, column in zip(book.levels, wanted, strict=True):
        assert torch.equal(levels[: len(column)], column)
        assert (levels[len(column) :] == column[-1]).all()


def test_weights_that_states_do_not_say() -> None:
    cells, matrix = pair(4, (1, 12, 2))
    matrix[0, 3, 1] += 0.5
    book = codebook_of(cells, matrix)
    assert book is not None
    assert torch.equal(book.values(), matrix)

"""Conductances keep their values; their derivative is that of the weights they stand for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cimc.device.conductance import differential_pair
from cimc.errors import UsageError
from cimc.executor.cells import targets_us
from cimc.executor.matrices import matrices, weight
from cimc.executor.physics import Physics
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Cells, Codebook, CrossbarLayer
from cimc.lowering.assign import assign
from cimc.program.model import ProgramLayer
from cimc.targets import Target
from cimc.training.differentiable_cells import check_differentiable, with_gradient
from tests.executor.programs import layer, target
from tests.executor.test_circuits import device_of

STATES = ["2 uS", "6 uS", "10 uS", "14 uS", "18 uS"]


def coded(device: Target, *, per_column: bool) -> tuple[ProgramLayer, Cells, Codebook, Tensor]:
    """A layer with a codebook as ``assign`` stores it, and its weights."""
    draw = torch.Generator().manual_seed(1)
    columns = 3
    if device.encoding == "bit-sliced":
        r = torch.tensor([[0.1, 0.25, 0.4]] * columns)
        r = r * torch.tensor([[1.0], [1.5], [2.0]]) if per_column else r[0]
        offset = -r.sum(-1) / 2
        bits = torch.arange(8)[:, None] >> torch.arange(3) & 1
        levels = (r.reshape(-1, 3) @ bits.float().T + offset.reshape(-1, 1)).sort(-1).values
        levels = levels if per_column else levels[0]
        codes = torch.randint(0, 8, (1, 5, columns), generator=draw, dtype=torch.uint8)
        codebook = Codebook(levels, codes, r, offset.reshape(-1))
    else:
        levels = torch.tensor([-0.5, -0.25, 0.0, 0.25, 0.5])
        codes = torch.randint(0, 5, (1, 5, columns), generator=draw, dtype=torch.uint8)
        codebook = Codebook(levels, codes)
    index = codes.long()
    table = levels.reshape(-1, levels.shape[-1]).expand(columns, -1)
    matrix = torch.stack([table[c][index[0, :, c]] for c in range(columns)], -1)[None]
    drafted = layer(matrix[0], Geometry("matrix", 1, 5, columns), ())
    draft = CrossbarLayer(
        "w", "w", drafted.geometry, (), codebook, drafted.tiles, drafted.row_tiles
    )
    cells, encoding = assign(draft, matrix, device)
    return replace(drafted, cells=cells, encoding=encoding), cells, codebook, matrix


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize(
    "weights", ["differential-pair", "offset-column", "digital", "conductance"]
)
def test_the_weight_moves_one_to_one(weights: str, per_column: bool) -> None:
    """Through cells and back to the weight, the derivative is the identity."""
    more: dict[str, Any] = (
        {"cell.states": STATES, "cell.default_levels": 5} if weights == "offset-column" else {}
    )
    device = device_of(weights, **more)
    one, cells, codebook, matrix = coded(device, per_column=per_column)
    moved = matrix.clone().requires_grad_()
    learned = with_gradient(cells, moved, device, codebook)
    for plane, kept in zip(learned.planes, targets_us(cells, matrix.device), strict=True):
        assert torch.equal(plane.detach(), kept)

    one = replace(one, cells=learned)
    seen = weight(one, matrices(one, learned.planes, device))
    torch.testing.assert_close(seen.detach(), matrix[0], rtol=1e-5, atol=1e-6)
    out = torch.linspace(-1, 1, seen.numel()).reshape(seen.shape)
    (gradient,) = torch.autograd.grad(seen, moved, out)
    torch.testing.assert_close(gradient[0], out, rtol=1e-5, atol=1e-6)


def test_a_pair_at_zero_moves_by_half_each() -> None:
    """Once, not twice: both cells stand at the kink of their clamps."""
    matrix = torch.tensor([[[0.5, 0.0, -0.25]]], requires_grad=True)
    plus, minus, gain = differential_pair(matrix, 2.0, 18.0, torch.tensor([0.5]))
    (gradient,) = torch.autograd.grad(((plus - minus) * gain).sum(), matrix)
    torch.testing.assert_close(gradient, torch.ones_like(matrix))
    (alone,) = torch.autograd.grad(
        differential_pair(matrix, 2.0, 18.0, torch.tensor([0.5]))[0].sum(), matrix
    )
    torch.testing.assert_close(alone, torch.tensor([[[32.0, 16.0, 0.0]]]))


def test_verified_programming_is_refused() -> None:
    verify = {"tolerance": "0.2 uS", "iterations": 5}
    device = target(**{"noise.programming": {"sigma": "0.25 uS", "verify": verify}})
    everything = Physics(device, frozenset({"programming", "drift"}))
    with pytest.raises(UsageError) as refused:
        check_differentiable(everything)
    assert refused.value.code == "CIMC-U53"
    assert "noise.programming.verify" in refused.value.message
    check_differentiable(replace(everything, effects=frozenset({"drift"})))
    check_differentiable(Physics(target(), frozenset({"programming"})))

import numpy as np
import torch

from cimc.ir.geometry import Geometry
from cimc.ir.layer import Cells, CrossbarLayer
from cimc.quantizers.periphery.lanes import lanes_of
from tests.quantizers.periphery.readings import normal


def layer(encoding, planes, **cells):
    geometry = Geometry("matrix", 1, 4, 3)
    tiles = np.array([(0, 0, 0, 4, 0, 2, 0, 0, 0), (0, 0, 0, 4, 2, 1, 0, 0, 8)], np.int32)
    made = Cells(planes, None, torch.ones(1), **cells)
    return CrossbarLayer("w", "w", geometry, (), tiles=tiles, cells=made, encoding=encoding)


def test_a_pair_is_one_current_or_two():
    plus, minus = normal(1, 4, 3).abs(), normal(1, 4, 3, seed=1).abs()
    (lane,) = lanes_of(layer("differential-pair", (plus, minus)), subtracted_after=False)
    torch.testing.assert_close(lane.delta_us, plus - minus)
    two = lanes_of(layer("differential-pair", (plus, minus)), subtracted_after=True)
    assert [x.multiplier for x in two] == [1.0, -1.0]
    torch.testing.assert_close(two[1].delta_us, minus)


def test_an_offset_column_serves_its_column_tile():
    cells, offset = normal(1, 4, 3), normal(1, 4, 2, seed=1)
    (lane,) = lanes_of(layer("offset-column", (cells, offset)), subtracted_after=False)
    torch.testing.assert_close(lane.delta_us[:, :, 1], cells[:, :, 1] - offset[:, :, 0])
    torch.testing.assert_close(lane.delta_us[:, :, 2], cells[:, :, 2] - offset[:, :, 1])


def test_slices_are_converted_one_by_one_or_summed():
    planes = tuple(normal(1, 4, 3, seed=s) for s in range(3))
    factors = torch.tensor([0.25, 0.5, 1.0])
    lanes = lanes_of(layer("bit-sliced", planes, multipliers=factors), subtracted_after=False)
    assert [float(x.multiplier) for x in lanes] == [0.25, 0.5, 1.0]
    (lane,) = lanes_of(layer("bit-sliced", planes), subtracted_after=False)
    torch.testing.assert_close(lane.delta_us, planes[0] + planes[1] + planes[2])


def test_states_are_looked_up():
    states = torch.tensor([1.0, 5.0])
    plane = torch.tensor([[[0, 1, 1]] * 4], dtype=torch.uint8)
    made = layer("signed", (plane,))
    cells = Cells((plane,), states, torch.ones(1))
    (lane,) = lanes_of(
        CrossbarLayer(
            "w", "w", made.geometry, (), tiles=made.tiles, cells=cells, encoding="signed"
        ),
        subtracted_after=False,
    )
    assert lane.delta_us[0, 0].tolist() == [1.0, 5.0, 5.0]

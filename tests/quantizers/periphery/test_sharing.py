import numpy as np
import torch

from cimc.quantizers.periphery.sharing import converter_groups


def groups(policy, shape, tiles=None, k=1, bit_lines=1, adjacent=True):
    table = None if tiles is None else np.array(tiles, np.int32)
    return converter_groups(
        policy, shape, table, columns_per_adc=k, bit_lines=bit_lines, adjacent=adjacent
    )


def tile(row_tile=0, column=0, columns=8, array=0, at=0, group=0):
    return (group, row_tile, 0, 4, column, columns, array, 0, at)


def test_a_row_tile_and_lane_has_one_range():
    got = groups("per-row-tile", (2, 2, 3))
    assert got.tolist() == [[[0] * 3, [1] * 3], [[2] * 3, [3] * 3]]
    assert torch.equal(got, groups("full-scale", (2, 2, 3)))


def test_a_layer_has_one_range():
    assert not groups("per-layer", (2, 2, 3)).any()


def test_columns_on_one_converter_share():
    got = groups("per-column", (1, 1, 8), [tile()], k=4)
    assert got.flatten().tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_converters_are_counted_from_the_array_not_the_tile():
    got = groups("per-column", (1, 1, 8), [tile(at=2)], k=4)
    assert got.flatten().tolist() == [0, 0, 1, 1, 1, 1, 2, 2]


def test_a_pair_is_one_bit_line_of_a_converter():
    got = groups("per-column", (1, 1, 8), [tile(at=2)], k=4, bit_lines=2)
    assert got.flatten().tolist() == [0, 0, 0, 1, 1, 1, 1, 2]


def test_column_tiles_on_other_arrays_have_other_converters():
    tiles = [tile(columns=4), tile(column=4, columns=4, array=1)]
    assert groups("per-column", (1, 1, 8), tiles, k=8).flatten().tolist() == [0] * 4 + [1] * 4


def test_sides_of_a_pair_share_only_on_a_common_converter():
    alone = groups("per-column", (1, 2, 4), [tile(columns=4)], k=1, bit_lines=2)
    assert alone.unique().numel() == 8
    together = groups("per-column", (1, 2, 4), [tile(columns=4)], k=4, bit_lines=2)
    assert together.tolist() == [[[0, 0, 1, 1], [0, 0, 1, 1]]]
    twins = groups("per-column", (1, 2, 4), [tile(columns=4)], k=4, adjacent=False)
    assert twins.tolist() == [[[0] * 4, [1] * 4]]


def test_groups_of_a_stack_follow_its_tiles():
    tiles = [tile(columns=2, group=0), tile(columns=2, group=1, at=2)]
    assert groups("per-column", (1, 1, 4), tiles, k=2).flatten().tolist() == [0, 0, 1, 1]


def test_columns_out_of_order_share_where_their_bit_lines_do():
    """Two tiles of three pairs; bit lines 0, 2 belong to one converter, 4, 6 to the next."""
    tiles = [tile(columns=3), tile(column=3, columns=3, array=1)]
    table = np.array(tiles, np.int32)
    places = [np.array([6, 0, 2], np.int32), np.array([2, 4, 0], np.int32)]
    got = converter_groups(
        "per-column", (1, 1, 6), table, columns_per_adc=2, bit_lines=2, adjacent=True,
        places=places,
    )  # fmt: skip
    assert got.flatten().tolist() == [1, 0, 0, 2, 3, 2]
    in_order = [np.array([0, 2, 4], np.int32)] * 2
    again = converter_groups(
        "per-column", (1, 1, 6), table, columns_per_adc=2, bit_lines=2, adjacent=True,
        places=in_order,
    )  # fmt: skip
    assert torch.equal(again, groups("per-column", (1, 1, 6), tiles, k=2, bit_lines=2))

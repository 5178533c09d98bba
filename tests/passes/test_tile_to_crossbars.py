import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.ir.geometry import Geometry
from cimc.ir.layer import CrossbarLayer
from cimc.passes.tile_to_crossbars import row_ranges, tile
from cimc.targets import load_target

RRAM = load_target("rram")


def test_row_tiles_hold_whole_channels():
    rows = row_ranges(Geometry("conv", 1, 64 * 9, 64, (3, 3)), 256)
    assert rows.tolist() == [[0, 252], [252, 252], [504, 72]]


def test_a_kernel_larger_than_the_array_is_split_inside_each_channel():
    rows = row_ranges(Geometry("conv", 1, 2 * 289, 8, (17, 17)), 256)
    assert rows.tolist() == [[0, 256], [256, 33], [289, 256], [545, 33]]


def test_unlimited_arrays_hold_the_whole_matrix():
    assert row_ranges(Geometry("matrix", 1, 7168, 7168), None).tolist() == [[0, 7168]]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    groups=st.integers(1, 4),
    channels=st.integers(1, 40),
    taps=st.integers(1, 30),
    columns=st.integers(1, 300),
    rows=st.integers(8, 256),
    width=st.integers(2, 256),
)
def test_tiles_cover_each_matrix_once_and_fit(groups, channels, taps, columns, rows, width):
    target = RRAM.changed({"array.rows": rows, "array.columns": width})
    geometry = Geometry("conv", groups, channels * taps, columns, (taps,))
    layer = tile(CrossbarLayer("w", "w", geometry, ()), target)
    assert layer.tiles is not None
    count = np.zeros(geometry.shape, int)
    for g, _, r, n, c, m, *_ in layer.tiles:
        assert n <= rows
        assert 2 * m <= width
        count[g, r : r + n, c : c + m] += 1
    assert (count == 1).all()

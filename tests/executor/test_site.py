from __future__ import annotations

from dataclasses import replace

import pytest

from cimc.executor.site import Site
from tests.executor.devices import filled, physics


@pytest.mark.parametrize(
    ("rows", "columns", "size"),
    [(256, 128, (256, 128)), (None, 128, (50, 128)), (None, None, (50, 40))],
)
def test_an_array_without_end_is_as_large_as_what_is_on_it(rows, columns, size) -> None:
    modelled = physics(array__rows=rows, array__columns=columns)
    one = filled(10.0, (50, 20), array=3)
    assert [Site(one, plane, modelled, 0).array_size(3) for plane in (0, 1)] == [size] * 2


def test_twin_arrays() -> None:
    modelled = physics(array__rows=None, array__columns=None)
    twin = replace(filled(10.0, (50, 20), array=3), twin=True)
    assert Site(twin, 1, modelled, 0).array_size(4) == (50, 20)


def test_streams() -> None:
    one = filled(10.0)
    first, other = (Site(one, plane, physics(), 0) for plane in (0, 1))
    assert first.stream("x").initial_seed() != other.stream("x").initial_seed()
    assert first.stream("x").initial_seed() != first.stream("y").initial_seed()
    assert first.of_array("x", 0).initial_seed() == other.of_array("x", 0).initial_seed()
    assert first.of_array("x", 0).initial_seed() != first.of_array("x", 1).initial_seed()

"""Every file in passes/ is one pass, in the table, under its own name."""

from pathlib import Path

import pytest

from cimc import passes
from cimc.errors import InternalError
from cimc.ir.network import Stage
from cimc.passbase import Pass
from cimc.pipeline.runner import check_order

FILES = sorted(p.stem for p in Path(passes.__path__[0]).glob("[!_]*.py"))


def test_the_table_lists_every_file() -> None:
    assert sorted(name.replace("-", "_") for name in passes.PASSES) == FILES


@pytest.mark.parametrize("name", list(passes.PASSES))
def test_the_class_has_the_name_of_its_file_and_a_test(name: str) -> None:
    cls = passes.load(name)
    assert issubclass(cls, Pass)
    assert cls.name == name
    assert cls.__name__ == "".join(part.title() for part in name.split("-"))
    assert cls.__doc__
    tests = Path(__file__).parent / "passes"
    assert (tests / f"test_{name.replace('-', '_')}.py").exists()


def test_the_table_is_in_pipeline_order() -> None:
    check_order([passes.load(name)() for name in passes.PASSES])


def test_wrong_order_fails_before_work() -> None:
    with pytest.raises(InternalError) as e:
        check_order([passes.load("place-tiles")()], Stage.PARTITIONED)
    assert str(e.value) == (
        "error[CIMC-I07]: pass 'place-tiles' needs a tiled network\n"
        "  at pipeline position 1 of 1, after a partitioned network\n"
        "  try a pass that gives tiled before it"
    )

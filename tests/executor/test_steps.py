from dataclasses import replace

import numpy as np
import pytest

from cimc.errors import ProgramError
from cimc.executor import Executor
from cimc.program.model import Operation
from tests.executor.test_executor import images, small_network


def broken(**changes) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        Executor(replace(small_network(), **changes), "noise-free").run({"x": images(1)})
    return caught.value


def first(**changes):
    program = small_network()
    return (replace(program.operations[0], **changes), *program.operations[1:])


def test_unknown_operator() -> None:
    error = broken(operations=first(op="os_system"))
    assert (error.code, error.where) == ("CIMC-P40", "operation 'c1'")
    assert "'os_system'" in error.message


@pytest.mark.parametrize("reference", ["%later", "@missing", "#missing", "%c2"])
def test_undefined_values(reference: str) -> None:
    assert broken(operations=first(inputs=(reference, "#c1", "@b"))).code == "CIMC-P40"
    assert broken(results=(reference + "?", "%r2")).code == "CIMC-P40"


def test_a_use_without_settings() -> None:
    program = small_network()
    layer = replace(program.layers["c1"], uses=())
    error = broken(layers={**program.layers, "c1": layer})
    assert error.code == "CIMC-P41"
    assert "'c1'" in error.message


def test_an_operator_that_cannot_read_the_layer() -> None:
    error = broken(operations=first(op="matmul", inputs=("%x", "#c1"), attributes={}))
    assert error.code == "CIMC-P41"
    assert "'matmul' cannot read layer 'c1', a conv" in error.message


def test_a_failing_operation_is_named() -> None:
    program = small_network()
    bad = Operation("bad", "add", ("%c1", "@b"), {}, ("bad",), "Sum_7")
    error = broken(operations=(program.operations[0], bad), results=("%bad", "%c1"))
    assert error.code == "CIMC-P42"
    assert error.where == "operation 'bad' (from 'Sum_7'), add"


def test_values_are_freed_after_their_last_use() -> None:
    executor = Executor(small_network(), "ideal")
    freed = [name for step in executor._steps for name in step.frees]
    assert set(freed) == {"%x", "%c1", "%r1", "%c2", "%add", "%gap", "%flat"}
    assert len(freed) == len(set(freed))
    assert np.isfinite(executor.run({"x": images(1)}).outputs["y"]).all()

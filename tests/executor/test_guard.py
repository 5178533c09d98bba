"""A hostile program is refused before it takes the machine down."""

import resource
import threading
from dataclasses import replace

import pytest
import torch

from cimc.errors import ProgramError
from cimc.executor import Executor, guard
from cimc.program.model import Operation
from tests.executor.test_executor import images, small_network


@pytest.mark.parametrize("size", [1 << 44, 1 << 50, 1 << 62])
@pytest.mark.parametrize("reader", ["relu", "reduce_sum", "shape"])
def test_a_huge_output_is_refused(size: int, reader: str) -> None:
    """Also one that takes no memory: whoever reads it would never end."""
    expand = Operation("huge", "expand", ("@one", "@shape"), {}, ("huge",))
    copy = Operation("copy", reader, ("%huge",), {}, ("copy",))
    program = replace(
        small_network(),
        operations=(expand, copy),
        results=("%copy", "%copy"),
        constants={"one": torch.ones(1), "shape": torch.tensor([size])},
    )
    with pytest.raises(ProgramError) as caught:
        Executor(program, "ideal").run({"x": images(1)})
    assert caught.value.code in ("CIMC-P42", "CIMC-P43")
    assert "operation" in caught.value.where


def test_a_run_needs_no_more_than_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "available_bytes", lambda: 64 << 20)
    monkeypatch.setattr(guard._address_space, "_seen", float("-inf"))
    with guard.guarded(), pytest.raises(RuntimeError, match="alloc"):
        torch.empty(1 << 26)
    monkeypatch.setattr(guard._address_space, "_seen", float("-inf"))
    torch.empty(1 << 26)


def test_limits_are_restored_after_overlapping_runs() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        with guard.guarded():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    with guard.guarded():
        thread.start()
        assert inside.wait(10)
    assert resource.getrlimit(resource.RLIMIT_AS) != before
    done.set()
    thread.join(10)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_available_memory_is_sensible() -> None:
    assert guard.LEAST_BYTES <= guard.available_bytes() <= 1 << 44

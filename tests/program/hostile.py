"""Reading what must be refused: in little time and memory, by a rule."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cimc.errors import ProgramError
from cimc.program import files, read
from tests.program.forge import Forge, sign

#: Most memory that one refusal may take [KiB].
MEMORY = 512 << 10


@contextmanager
def little_memory() -> Iterator[None]:
    """Require that the peak memory of this process grows little."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets earlier peaks
    except OSError:  # no such thing on this system
        yield
        return
    before = peak()
    yield
    assert peak() - before < MEMORY


def peak() -> int:
    """Return the peak memory of this process since it was last forgotten [KiB]."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM"))


def refused(path: Path, *, seconds: float = 5.0) -> ProgramError:
    """Read what must be refused, in little time and memory; return the error."""
    start = time.perf_counter()
    with little_memory(), pytest.raises(ProgramError) as caught:
        read(path)
    assert time.perf_counter() - start < seconds
    error = caught.value
    assert error.code != "CIMC-P39", error.message  # refused by a rule, not by the safety net
    assert error.exit_code == 4
    assert "\n" not in error.message
    assert error.where
    return error


Change = Callable[[Forge], None]


def forged(small: Path, tmp_path: Path, change: Change) -> ProgramError:
    forge = Forge(small)
    change(forge)
    return refused(forge.save(tmp_path / "forged.cim"))


def manifest_change(path: str, value: object) -> Change:
    def change(forge: Forge) -> None:
        *parents, key = path.split(".")
        node = forge.manifest
        for parent in parents:
            node = node[int(parent)] if parent.isdigit() else node[parent]
        node[int(key) if key.isdigit() else key] = value

    return change


def tensor_change(name: str, index: object, value: float) -> Change:
    def change(forge: Forge) -> None:
        forge.tensors[name][index] = value

    return change


def sums_of(path: Path) -> dict[str, str]:
    sign(path)
    lines = (path / files.SUMS).read_text().splitlines()
    return {line[66:]: line[:64] for line in lines}

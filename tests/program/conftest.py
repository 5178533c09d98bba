"""Programs on disk for the tests of reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from cimc.program import write
from tests.program.factories import mlp


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written program, not to be changed: pairs of 16 states, with all extras."""
    path = tmp_path_factory.mktemp("programs") / "mlp.cim"
    write(mlp(), path)
    return path


@pytest.fixture(scope="session")
def small(stored: Path) -> Path:
    """The program that is broken."""
    return stored

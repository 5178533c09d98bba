"""Arrays with wires are small enough to be solved."""

from __future__ import annotations

import pytest

from cimc.errors import TargetError
from cimc.targets import load_target


def test_wires_longer_than_can_be_solved_are_refused() -> None:
    rram = load_target("rram")
    with pytest.raises(TargetError, match=r"array\.rows: should be at most 2,048 with") as caught:
        rram.changed({"array.rows": 4096, "wires.bit_line": "1 ohm"})
    assert caught.value.code == "CIMC-T04"
    rram.changed({"array.rows": 2048, "wires.bit_line": "1 ohm"})
    rram.changed({"array.rows": 4096})

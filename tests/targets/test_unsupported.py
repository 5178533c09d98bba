"""What the format has and the compiler cannot do yet is refused, never ignored."""

import pytest
import yaml

from cimc.targets import schema
from cimc.targets.unsupported import UNSUPPORTED
from tests.targets.factories import changed, plain, refusal

#: What uses each row, by what it says; grows and shrinks with the rows.
USES = {
    "wire resistance around cells with an I-V curve": {
        "wires.bit_line": "1 ohm",
        "cell.nonlinearity": {"sinh": "0.3 V"},
    },
}


@pytest.mark.parametrize("row", UNSUPPORTED, ids=lambda row: row.what)
def test_every_row_refuses_what_it_says(row, tmp_path):
    data = changed(plain(), USES[row.what])
    _, found = schema.check(data)
    (problem,) = found
    assert problem.code == "CIMC-T05"
    assert problem.message == f"{row.what} not supported yet; supported: {row.instead}"
    assert f"t.yaml:{line_of(data, row.path[-1])}:" in refusal(tmp_path, data).message


def line_of(data, key):
    """Return the line of the first setting below a key, as the file is written."""
    lines = yaml.safe_dump(data, sort_keys=False).splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.startswith(f"{key}:")) + 1

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_code_has_a_page_and_every_page_a_code():
    source = "".join(p.read_text() for p in (ROOT / "cimc" / "program").glob("*.py"))
    used = set(re.findall(r"\"(CIMC-P[0-3][0-9])\"", source))
    pages = {p.stem: p.read_text() for p in (ROOT / "docs" / "errors").glob("CIMC-P[0-3]?.md")}
    assert used == pages.keys()
    for code, text in pages.items():
        assert text.startswith(f"# {code}: ")
        assert f"error[{code}]: " in text

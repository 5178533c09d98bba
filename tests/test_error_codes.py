"""Every error code used in the source has exactly one page, and every page is of a code in use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = re.compile(r"CIMC-[A-Z][0-9]{2}(?![0-9])")
#: In a docstring a range stands for codes that are written out where they are raised.
RAISED = re.compile(r"""["'](CIMC-[A-Z][0-9]{2})["']""")
SOURCES = [
    path
    for folder in ("cimc", "passes", "targets")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not any(parent.is_symlink() for parent in path.parents)
]
PAGES = sorted((ROOT / "docs" / "errors").glob("CIMC-*.md"))


def used() -> dict[str, Path]:
    """Every code that stands as a string in the source, with a file that uses it."""
    return {code: path for path in SOURCES for code in RAISED.findall(path.read_text("utf-8"))}


def test_every_code_in_use_has_a_page() -> None:
    pages = {page.stem for page in PAGES}
    missing = {code: path.name for code, path in used().items() if code not in pages}
    assert missing == {}


def test_every_page_is_of_a_code_in_use() -> None:
    codes = used()
    assert [page.stem for page in PAGES if page.stem not in codes] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_says_what_and_what_to_do(page: Path) -> None:
    lines = page.read_text("utf-8").splitlines()
    assert re.fullmatch(rf"# {page.stem}: [^A-Z].*[^.]", lines[0]) or re.fullmatch(
        rf"# {page.stem}: (ONNX|NaN|[A-Z][A-Za-z]+).*[^.]", lines[0]
    )
    text = "\n".join(lines)
    assert "\n```text\n" in text
    assert f"error[{page.stem}]" in text
    assert "**What to do.**" in text
    assert set(CODE.findall(text)) >= {page.stem}


def test_letters_are_those_of_the_error_tree() -> None:
    assert {code[5] for code in used()} <= set("UMTFPSI")

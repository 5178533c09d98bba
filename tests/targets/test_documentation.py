"""docs/targets.md is generated, and up to date."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_target_page_is_what_the_schema_says():
    spec = importlib.util.spec_from_file_location("generate_targets", DOCS / "generate_targets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    committed = (DOCS / "targets.md").read_text(encoding="utf-8")
    assert module.page() == committed, "run: python docs/generate_targets.py"

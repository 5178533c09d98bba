"""docs/targets.md and docs/devices.md are generated, and up to date."""

import importlib.util
from pathlib import Path

import pytest

from cimc.targets import list_targets, load_target

DOCS = Path(__file__).resolve().parents[2] / "docs"


def generator(name):
    spec = importlib.util.spec_from_file_location(f"generate_{name}", DOCS / f"generate_{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["targets", "devices"])
def test_the_page_is_what_the_schema_and_the_targets_say(name):
    committed = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert generator(name).page() == committed, f"run: python docs/generate_{name}.py"


def test_the_pages_are_in_the_table_of_contents():
    index = (DOCS / "index.md").read_text(encoding="utf-8").split()
    assert {"targets", "devices"} <= set(index)


def test_every_shipped_target_is_compared_with_its_sources():
    page = (DOCS / "devices.md").read_text(encoding="utf-8")
    for name in list_targets():
        assert f"### `{name}`" in page
        for source in load_target(name).sources.values():
            assert source in page


def test_figures_of_the_comparison():
    """By hand: the spread of rram is 0.226 / 15.75 everywhere; PCM at g_max loses t^-0.049."""
    devices = generator("devices")
    assert devices.spread(load_target("rram")) == "1.43 / 1.43 / 1.43 %"
    assert devices.weights(load_target("rram-tiny")) == "0.0655 M"  # 8 x 128 x 64
    pcm = load_target("pcm")
    left = 100 * (86_400 / 20) ** -0.049
    assert devices.left(pcm).endswith(f"{left:.1f} %")
    assert devices.energy(pcm) == "205 fJ"  # 2 / 9.76 TOPS/W

"""docs/training.md says what is so: its table, recipes, example and links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from cimc.cli import main
from cimc.pipeline.options import Options
from cimc.pipeline.report import CompileResult
from cimc.targets import load_target
from tests.pipeline.training_page import rows

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "training.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    found = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    return found


def test_the_table_is_that_of_the_recipe() -> None:
    start = PAGE.index("| setting | default |")
    table = PAGE[start : PAGE.index("\n\n", start)].splitlines()
    assert table[2:] == list(rows())


def test_recipes_are_accepted() -> None:
    for text in blocks("yaml"):
        assert Options.gather(yaml.safe_load(text)).training is not None


def test_every_option_named_exists() -> None:
    commands = [main.commands[n] for n in ("compile", "recompile", "verify", "sensitivity")]
    known = {o for c in commands for p in c.params for o in p.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - {"--nproc-per-node", "--layer"}
    assert named <= known


def test_the_pipeline_is_as_drawn() -> None:
    (drawn,) = re.findall(r"fit converters -> (finetune.*) -> emit", PAGE)
    names = [p.name for p in Options.gather({}).passes(load_target("rram"), trained=True)]
    said = [
        {"assign": "assign-conductance"}.get(n, n.replace(" ", "-")) for n in drawn.split(" -> ")
    ]
    assert names[names.index("finetune") :] == said


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+\.md)", PAGE))))
def test_links_lead_somewhere(link: str) -> None:
    assert (DOCS / link).exists()


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.norm = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 3)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return logits of ``(n, 1, 6, 6)``."""
        x = torch.relu(self.norm(self.hidden(image))).mean((2, 3))
        return {"logits": self.last(x)}


def test_the_example_runs_and_gives_the_weights_back() -> None:
    torch.manual_seed(0)
    network = Classifier()
    network.norm.running_var.fill_(2.0)
    images = torch.randn(40, 1, 6, 6)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    names: dict[str, Any] = {
        "network": network.eval(),
        "images": images,
        "labels": torch.arange(40) % 3,
    }
    (example,) = blocks("python")
    exec(compile(example, "docs/training.md", "exec"), names)
    result = names["result"]
    assert isinstance(result, CompileResult)
    assert result.weights is not None
    assert result.weights.not_representable == ()
    assert set(result.weights.weights) <= set(before)
    assert not torch.equal(network.state_dict()["hidden.weight"], before["hidden.weight"])

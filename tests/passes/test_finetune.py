"""Fine-tuning as a pass: noisy chips get better, learned ranges stay, nothing else changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import cimc
from cimc.errors import UsageError
from cimc.ir.layer import TRAINED
from cimc.ir.network import Network, Stage
from cimc.passbase import PassContext
from cimc.passes import load
from cimc.passes.finetune import Finetune
from cimc.pipeline import CompileResult, compile_model
from cimc.targets import Target, load_target
from cimc.training.history import History
from cimc.training.recipe import Recipe
from cimc.training.settings import Training
from cimc.verification.data import Data
from tests.passes.networks import context, conv_net, lowered, rng
from tests.training.put import on_chip
from tests.zoo import cache

#: Cells that miss their target by a fifth of their range.
NOISY = load_target("rram").changed({"noise.programming": {"sigma": "3 uS"}})
CHIPS = 24
#: Student's t with 23 degrees of freedom: exceeded by chance once in a thousand times.
T_ONE_IN_A_THOUSAND = 3.485


class Digits(nn.Module):
    """Two layers on digits of 14 x 14 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(196, 24), nn.Linear(24, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits of ``(n, 196)``."""
        return self.last(F.relu(self.hidden(image)))


@dataclass(frozen=True)
class Task:
    """A network, and three disjoint parts of the digits."""

    network: nn.Module
    fresh: dict[str, Any]
    calibration: dict[str, Any]
    test: dict[str, Any]

    def compiled(self, target: Target | str = NOISY, **options: Any) -> CompileResult:
        return compile_model(
            self.network,
            target=target,
            levels=4,
            data=self.calibration,
            example_inputs=(torch.zeros(2, 196),),
            dynamic_shapes=({0: torch.export.Dim("n")},),
            **options,
        )

    def accuracies(self, result: CompileResult) -> np.ndarray[Any, Any]:
        report = cimc.verify(result.program, data=self.test, chips=CHIPS)
        return np.array(report.values)


@pytest.fixture(scope="module")
def task() -> Task:
    with np.load(cache.data("digits.npz")) as file:
        pixels, labels = file["Input3"], file["labels"].astype(np.int64)
    pooled = F.avg_pool2d(torch.from_numpy(pixels / np.float32(255)), 2).reshape(-1, 196)
    order = np.random.default_rng(0).permutation(len(labels))
    parts = [
        {"image": pooled.numpy()[index], "labels": labels[index]}
        for index in np.split(order, [2500, 2756, 3756])
    ]
    torch.manual_seed(0)
    network = Digits()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    images, answers = torch.from_numpy(parts[0]["image"]), torch.from_numpy(parts[0]["labels"])
    for _ in range(6):
        for batch in torch.randperm(len(images)).split(50):
            loss = F.cross_entropy(network(images[batch]), answers[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    calibration = {"image": parts[1]["image"]}
    return Task(network.eval(), parts[0], calibration, {k: v[:1000] for k, v in parts[2].items()})


def better(after: np.ndarray[Any, Any], before: np.ndarray[Any, Any]) -> float:
    """Return Student's t of the differences, chip by chip."""
    gains = after - before
    return float(gains.mean() / (gains.std(ddof=1) / np.sqrt(len(gains))))


def test_noisy_chips_get_better(task: Task) -> None:
    """On test samples and chips that training never saw; false alarm: 1 in 1,000."""
    before = task.accuracies(task.compiled())
    training = {"epochs": 6, "learning_rate": 0.05, "rates": "relative", "batch": 50}
    after = task.accuracies(task.compiled(train_data=task.fresh, training=training))
    assert better(after, before) > T_ONE_IN_A_THOUSAND
    assert after.mean() > before.mean() + 0.01


def test_the_float_start_is_what_untrained_means(task: Task) -> None:
    """With a vanishing rate the network stays what was compiled: no step is taken from it."""
    training = {"epochs": 1, "learning_rate": 1e-12, "noise": "none", "refit_epochs": 0}
    after = task.compiled(train_data=task.fresh, training=training).program
    before = task.compiled().program
    one, two = (
        cimc.run(p, {"image": task.test["image"]}, mode="ideal")["last"]
        if "last" in (s.name for s in p.outputs)
        else next(iter(cimc.run(p, {"image": task.test["image"]}, mode="ideal").values()))
        for p in (after, before)
    )
    np.testing.assert_allclose(one, two, atol=1e-4 * np.abs(two).max())


def test_learned_input_ranges_survive_the_passes_after_it(task: Task) -> None:
    training = {"epochs": 1, "activation_bits": 4, "first_last_bits": 6}
    result = task.compiled(train_data=task.fresh, training=training)
    first, last = result.report.converters
    assert (first.input_method, last.input_method) == (TRAINED, TRAINED)
    bits = [u.dac.bits for layer in result.program.layers.values() for u in layer.uses]
    assert bits == [6, 6]
    assert all(c.adc_method == "search" and c.snr_db is not None for c in (first, last))
    usual = task.compiled().report.converters
    assert all(c.input_method == "search" for c in usual)


def run(net: Network, recipe: Recipe, target: str = "rram") -> tuple[Network, list[History]]:
    """Fine-tune a lowered network on random inputs by distillation."""
    seen: list[History] = []
    x = rng(5).standard_normal((16, 3, 8, 8)).astype(np.float32)
    training = Training(Data({"x": x}, None, 16), recipe, done=seen.append)
    return Finetune().run(net, context(target, training=training)), seen


def test_without_training_nothing_changes() -> None:
    net = lowered(conv_net(), "fit-converters")
    assert Finetune().run(net, context()) is net


def test_the_network_given_is_not_changed() -> None:
    net = lowered(conv_net(), "fit-converters")
    before = {k: v.clone() for k, v in net.graph.state_dict().items()}
    after, seen = run(net, Recipe(epochs=1, batch=8, learning_rate=0.05))
    assert after.stage == Stage.ASSIGNED
    for name, value in net.graph.state_dict().items():
        assert torch.equal(value, before[name])
    changed = [k for k, v in after.graph.state_dict().items() if not torch.equal(v, before[k])]
    assert changed
    assert len(seen) == 1
    assert len(seen[0].epochs) == 1


def test_progress_is_told_under_the_name_of_the_pass() -> None:
    net, said = lowered(conv_net(), "fit-converters"), []
    x = rng(5).standard_normal((16, 3, 8, 8)).astype(np.float32)
    where = context(training=Training(Data({"x": x}, None, 16), Recipe(epochs=2, batch=8)))
    where = replace(where, progress=lambda what, share: said.append((what, share)))
    Finetune().run(net, where)
    named = [(what, share) for what, share in said if what.startswith("finetune: ")]
    assert named[-1][1] == 1.0
    assert "epoch 2/2, loss " in named[-1][0]
    assert not any(what.startswith("fine-tune") for what, _ in said)


def test_layers_teach_too() -> None:
    """The float network's layers are asked for by node; a wrong name would be refused."""
    net = lowered(conv_net(), "fit-converters")
    _, (history,) = run(net, Recipe(epochs=1, batch=8, layer_weight=1.0))
    assert "layers" in history.loss


def test_it_is_after_the_converters() -> None:
    assert load("finetune") is Finetune
    assert Finetune.needs == Finetune.gives == Stage.ASSIGNED


def test_with_the_faults_of_a_chip_it_trains_for_that_chip() -> None:
    """Weights move among what cells reach; places stay, and so do float weights."""
    network, target, data, faults = on_chip("pair", "recurrent")
    kept: list[History] = []
    recipe = Recipe(epochs=1, batch=8, keep="last", learning_rate=0.01, rates="relative")
    run = Training(data, recipe, done=kept.append)
    given = PassContext(target, data, training=run, faults=faults)
    trained = Finetune().run(network, given)
    assert kept[0].kept == 1
    moved = 0
    for name, layer in trained.layers.items():
        before = network.layers[name]
        assert layer.remapped
        assert layer.tiles is before.tiles
        moved += any(
            not torch.equal(a, b)
            for a, b in zip(layer.cells.planes, before.cells.planes, strict=True)  # type: ignore[union-attr]
        )
    assert moved


def test_settings_of_faults_need_some() -> None:
    network, target, data, _ = on_chip("pair", "recurrent")
    run = Training(data, Recipe(variability="ignore"))
    with pytest.raises(UsageError) as caught:
        Finetune().run(network, PassContext(target, data, training=run))
    assert caught.value.code == "CIMC-U70"

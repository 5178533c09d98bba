"""A whole training for one chip: it recovers accuracy, is resumed, and refuses what cannot be."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import cimc
from cimc.errors import ModelError, UsageError
from cimc.executor import Executor
from cimc.faults import FaultMap, sample
from cimc.ir import rewrite
from cimc.ir.network import Network
from cimc.lowering.emit import emit
from cimc.lowering.lift import lift
from cimc.program.model import DeviceProgram
from cimc.targets import Target, load_target
from cimc.training.chip_recipe import check_recipe
from cimc.training.for_chip import train_for_chip
from cimc.training.history import History
from cimc.training.recipe import FaultTraining, Recipe
from cimc.training.settings import Training
from cimc.verification.data import Data
from tests.training.put import put

CLASSES = 6


class Problem(NamedTuple):
    """A network put on a chip by nothing but nearest values, and its data."""

    network: Network
    target: Target
    faults: FaultMap
    train: Data
    test: Data


@cache
def problem(base: str = "rram", rate: float = 0.3) -> Problem:
    draw = torch.Generator().manual_seed(0)
    centres = 0.35 * torch.randn(CLASSES, 1, 12, 12, generator=draw)
    labels = torch.randint(CLASSES, (1600,), generator=draw)
    images = centres[labels] + torch.randn(1600, 1, 12, 12, generator=draw)
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(144, CLASSES),
    )  # fmt: skip
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    for _ in range(4):
        for x, y in zip(images[:1200].split(50), labels[:1200].split(50), strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x), y).backward()
            optimizer.step()
    program = cimc.compile(
        module.eval(),
        target=base,
        example_inputs=(images[:2],),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        data={"input": images[:100].numpy()},
    )
    target = load_target(base)
    faults = sample(program, rate=rate, seed=4)
    parts = [
        Data({"input": images[s].numpy()}, labels[s].numpy(), len(images[s]))
        for s in (slice(1200), slice(1200, None))
    ]
    return Problem(put(lift(program), target, faults), target, faults, *parts)


def program_of(problem: Problem, network: Network) -> DeviceProgram:
    program = emit(network, problem.target, {})
    return replace(program, faults=problem.faults.record())


def right(problem: Problem, network: Network, mode: str = "chip") -> float:
    """Share of right answers on data never trained on, one chip."""
    program, test = program_of(problem, network), problem.test
    (output,) = Executor(program, mode, 7).run(test.inputs).outputs.values()
    return float((output.argmax(1) == test.labels).mean())


def run(problem: Problem, **given: Any) -> tuple[Network, History]:
    kept: list[History] = []
    options = {k: given.pop(k) for k in ("checkpoint", "resume") if k in given}
    values = {"epochs": 2, "rates": "relative", "learning_rate": 0.03, "validation": 0.2} | given
    training = Training(problem.train, Recipe(**values), done=kept.append, **options)
    network = train_for_chip(problem.network, problem.target, problem.faults, training)
    return network, kept[0]


METHODS: dict[str, dict[str, Any]] = {
    "reachable": {},
    "validity": {
        "faults": FaultTraining("validity", 1),
        "quantization": "regularized",
        "noise": "none",
        # Weights pulled to valid levels move slower than those that jump between them.
        "epochs": 3,
        "learning_rate": 0.06,
    },
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("base", ["rram", "otp"])
def test_accuracy_is_recovered(base: str, method: str) -> None:
    """At 30 % stuck cells few short epochs bring back a tenth of all answers."""
    given = problem(base)
    before = right(given, given.network)
    trained, history = run(given, **METHODS[method])
    after = right(given, trained)
    assert history.kept > 0
    assert after > before + 0.1
    assert history.validation is not None
    # What evaluations said is what the program does: 240 and 400 samples, 3.9 standard deviations.
    assert abs(history.validation.mean - after) < 0.16
    if base == "otp":
        return
    for one, two in zip(given.network.layers.values(), trained.layers.values(), strict=True):
        assert two.remapped
        assert one.word_lines is two.word_lines


def test_weights_in_the_graph_are_those_of_the_cells_with_their_faults() -> None:
    given = problem()
    trained, _ = run(given, epochs=1)
    program = program_of(given, trained)
    (ideal,) = Executor(program, "ideal").run(given.test.inputs).outputs.values()
    with torch.no_grad():
        (graph,) = trained.graph(torch.from_numpy(given.test.inputs["input"]))
    np.testing.assert_allclose(graph.numpy(), ideal, atol=1e-4 * np.abs(ideal).max())


def test_float_weights_and_constants_stay_those_of_every_chip() -> None:
    given = problem()
    trained, _ = run(given, epochs=1)
    changed = 0
    before, after = (rewrite.attributes(n.graph) for n in (given.network, trained))
    for name, layer in trained.layers.items():
        old = given.network.layers[name]
        assert old.float_matrix is not None
        assert layer.float_matrix is not None
        assert torch.equal(layer.float_matrix, old.float_matrix)
    for name, value in trained.float_constants.items():
        changed += not torch.equal(after[name], value)
        if name not in given.network.float_constants:
            assert torch.equal(before[name], value)
    assert changed > 0


class StoppedError(Exception):
    """As if the process had been killed."""


@pytest.mark.parametrize("base", ["rram", "otp"])
def test_killed_and_resumed_it_ends_in_the_same_bytes(base: str, tmp_path: Path) -> None:
    given = problem(base)
    recipe = (
        {"levels": "multipliers"} if base == "otp" else {"faults": FaultTraining(snap_every=1)}
    )
    whole, _ = run(given, checkpoint_steps=4, **recipe)

    def stop(what: str, share: float) -> None:
        if share > 0.6:
            raise StoppedError

    values: dict[str, Any] = {"epochs": 2, "rates": "relative", "learning_rate": 0.03}
    values |= {"validation": 0.2, "checkpoint_steps": 4} | recipe
    training = Training(given.train, Recipe(**values), checkpoint=tmp_path / "c")
    with pytest.raises(StoppedError):
        train_for_chip(given.network, given.target, given.faults, training, progress=stop)
    resumed, history = run(
        given, checkpoint_steps=4, checkpoint=tmp_path / "c", resume=True, **recipe
    )
    assert len(history.epochs) == 2
    one, two = program_of(given, whole), program_of(given, resumed)
    for name, value in one.constants.items():
        assert torch.equal(value, two.constants[name])
    for name, layer in one.layers.items():
        for a, b in zip(layer.cells.planes, two.layers[name].cells.planes, strict=True):
            assert torch.equal(a, b)
        for use, other in zip(layer.uses, two.layers[name].uses, strict=True):
            assert use.dac == other.dac
            assert torch.equal(use.adc.i_max_us, other.adc.i_max_us)  # type: ignore[arg-type]


def test_a_checkpoint_of_another_chip_is_refused(tmp_path: Path) -> None:
    given = problem()
    run(given, epochs=1, checkpoint=tmp_path / "c")
    other = given._replace(faults=sample(program_of(given, given.network), rate=0.3, seed=5))
    with pytest.raises(ModelError, match="of another run") as caught:
        run(other, epochs=1, checkpoint=tmp_path / "c", resume=True)
    assert caught.value.code == "CIMC-M95"


def test_where_no_epoch_is_better_the_network_is_the_one_given() -> None:
    given = problem()
    network, history = run(given, epochs=1, learning_rate=30.0)
    assert history.kept == 0
    assert network is given.network


@pytest.mark.parametrize(
    "recipe",
    [Recipe(gradient="full"), Recipe(quantization="regularized")],
    ids=["full gradient", "float weights"],
)
def test_what_cannot_be_with_a_known_chip_is_refused(recipe: Recipe) -> None:
    with pytest.raises(UsageError) as caught:
        check_recipe(recipe, chip=True)
    assert caught.value.code == "CIMC-U72"
    check_recipe(replace(recipe, noise="none"), chip=True)
    check_recipe(recipe, chip=False)


@pytest.mark.parametrize(
    "recipe",
    [Recipe(faults=FaultTraining("nearest-valid")), Recipe(variability="ignore")],
    ids=["faults", "variability"],
)
def test_settings_of_faults_without_faults_are_refused(recipe: Recipe) -> None:
    with pytest.raises(UsageError) as caught:
        check_recipe(recipe, chip=False)
    assert caught.value.code == "CIMC-U70"
    check_recipe(recipe, chip=True)

"""The ways of making a training step that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cimc.targets import load_target
from cimc.training.recipe import Gradient, Recipe
from tests.benchmarks import training_steps
from tests.benchmarks.training_steps import Step

#: One more effect than ``rram`` has, by name: the target it starts from, and what is changed.
EFFECTS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "read-noise": ("rram", {"noise.read": {"sigma_relative": 0.02}}),
    "drift": ("rram", {"noise.drift": {"nu": 0.05, "nu_sigma": 0.01}, "read.at": "1 d"}),
    "bit-serial": ("rram", {"read.drive": "bit-serial"}),
    "ir-drop": ("rram-wires", {}),
}


def _gradient(way: Gradient) -> Callable[[], Step]:
    return lambda: training_steps.device(Recipe(gradient=way))


def _effect(base: str, changes: Mapping[str, Any]) -> Callable[[], Step]:
    return lambda: training_steps.device(target=load_target(base).changed(changes))


def _lightning() -> Step:
    found = training_steps.lightning()
    if found is None:
        raise LookupError("aihwkit-lightning is not installed (make bench PEERS=1)")
    return found[0]


#: Name to what makes the step.
WAYS: dict[str, Callable[[], Step]] = {
    "plain": training_steps.plain,
    "plain-contiguous": lambda: training_steps.plain("contiguous"),
    "straight-through": _gradient("straight-through"),
    "full": _gradient("full"),
    "detached": _gradient("detached"),
    "no-grad": _gradient("no-grad"),
    "lightning": _lightning,
    **{name: _effect(base, changes) for name, (base, changes) in EFFECTS.items()},
}

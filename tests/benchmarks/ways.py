"""The ways of making a training step that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable

from cimc.training.recipe import Gradient, Recipe
from tests.benchmarks import training_steps
from tests.benchmarks.training_steps import Step


def _gradient(way: Gradient) -> Callable[[], Step]:
    return lambda: training_steps.device(Recipe(gradient=way))


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
}

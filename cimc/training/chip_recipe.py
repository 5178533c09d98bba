"""Which settings of training go with a chip whose faults are known, and which without one."""

from __future__ import annotations

from cimc.errors import UsageError
from cimc.training.recipe import FaultTraining, Recipe


def check_recipe(recipe: Recipe, *, chip: bool) -> None:
    """Refuse settings that cannot be, or do nothing, with or without a known chip.

    Args:
        recipe: How it is trained.
        chip: For one chip, whose faults are known.

    Raises:
        UsageError: CIMC-U70, there are settings of faults and none are known; CIMC-U72, a
            setting that cannot be with a known chip.
    """
    if not chip:
        for key, usual in (("faults", FaultTraining()), ("variability", "measured")):
            if getattr(recipe, key) != usual:
                raise UsageError(
                    "CIMC-U70",
                    f"training.{key} is set, but the faults of no chip are known",
                    hint=f"--fault-map F, or leaving {key} out",
                )
        return
    for key, refused, why, hint in (
        (
            "gradient",
            "full",
            "a cell that cannot be programmed has no gradient",
            "gradient: straight-through",
        ),
        (
            "quantization",
            "regularized",
            "weights off their levels are on no chip",
            "noise: none, or gaussian",
        ),
    ):
        if recipe.noise == "device" and getattr(recipe, key) == refused:
            raise UsageError(
                "CIMC-U72",
                f"training.{key} is {refused}, and training is for one chip with noise: device: "
                f"{why}",
                hint=hint,
            )

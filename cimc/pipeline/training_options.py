"""The section ``training`` of a recipe: what is written there, checked key by key."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from itertools import pairwise
from typing import Any, Final, Literal, cast, get_args, get_origin, get_type_hints

from cimc.errors import UsageError
from cimc.pipeline.training_ranges import RANGES
from cimc.targets import Target
from cimc.targets.compatibility import SWITCHES
from cimc.targets.problems import Marks, Problem, shortened
from cimc.training.recipe import FaultTraining, Recipe

#: Key of a recipe that holds these settings.
SECTION: Final = "training"

#: Settings that do something only with a value of another: the other, and those values.
_ONLY_WITH: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "momentum": ("optimizer", ("sgd",)),
    "milestones": ("schedule", ("step",)),
    "gamma": ("schedule", ("step",)),
    "temperature": ("loss", ("distillation", "auto")),
    "effects": ("noise", ("device",)),
    "gradient": ("noise", ("device",)),
    "delta": ("noise", ("gaussian",)),
    "lambda_start": ("quantization", ("regularized",)),
    "lambda_end": ("quantization", ("regularized",)),
    "lambda_epochs": ("quantization", ("regularized",)),
}


def training_recipe(section: object, file: str = "", marks: Marks | None = None) -> Recipe:
    """Return the settings a section describes.

    Args:
        section: Settings by name, or a recipe.
        file: Where the section was read.
        marks: Positions in that file.

    Raises:
        UsageError: CIMC-U54, an unknown setting, a value of the wrong kind or out of range, or a
            setting that does nothing with the others.
    """
    values = asdict(section) if isinstance(section, Recipe) else section
    if not isinstance(values, Mapping):
        raise _Refusals(file, marks).error(
            (), f"{SECTION} must be a mapping of settings", values, f"{SECTION}: {{epochs: 3}}"
        )
    reader = _Refusals(file, marks)
    recipe: Recipe = reader.settings((), values, Recipe)
    reader.together(recipe)
    return recipe


@dataclass(frozen=True, slots=True)
class _Refusals:
    """Reads values; says what is wrong with one, and in which line of the file."""

    file: str
    marks: Marks | None

    def error(
        self, path: tuple[str | int, ...], message: str, got: object = None, hint: str = ""
    ) -> UsageError:
        where = self.file
        if self.file and self.marks is not None:
            problem = Problem("CIMC-U54", (SECTION, *path), message, at_key=got is None)
            line, column = self.marks.find(problem)
            where = f"{self.file}:{line}:{column}"
        shown = "" if got is None else f" (got {shortened(got)})"
        return UsageError("CIMC-U54", f"{message}{shown}", where=where, hint=hint)

    def settings(self, path: tuple[str, ...], values: Mapping[Any, Any], kind: Any) -> Any:
        """Return settings by name as the class of them."""
        hints = get_type_hints(kind)
        for key in values:
            if key not in hints:
                near = difflib.get_close_matches(str(key), hints, n=1)
                raise self.error(
                    (*path, key),
                    f"there is no setting {key!r} of {'.'.join((SECTION, *path))}",
                    hint=f"'{near[0]}'" if near else "one of " + ", ".join(sorted(hints)),
                )
        read = {k: self.value(".".join((*path, k)), v, hints[k]) for k, v in values.items()}
        return kind(**read)

    def value(self, key: str, value: object, kind: Any) -> Any:
        """Return a value as the setting's type has it."""
        if is_dataclass(kind):
            if not isinstance(value, Mapping):
                raise self._wrong(key, "must be a mapping of settings", value, f"{key}: {{}}")
            return self.settings((key,), value, kind)
        if get_origin(kind) is Literal:
            if value not in get_args(kind) or not isinstance(value, str):
                names = ", ".join(get_args(kind))
                raise self._wrong(key, "is not one of its names", value, f"one of {names}")
            return value
        if kind in (int, float):
            return self._number(key, value, kind)
        if kind is str:
            if not isinstance(value, str):
                raise self._wrong(key, "must be a name", value, "an output of the network")
            return value
        if type(None) in get_args(kind):
            if value is None:
                return None
            if int in get_args(kind):
                return self._number(key, value, int)
        return self._items(key, value)

    def _number(self, key: str, value: object, kind: type) -> int | float:
        numbers = int if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, numbers) or not math.isfinite(value):
            what = "a whole number" if kind is int else "a number"
            raise self._wrong(key, f"must be {what}", value, f"{what} {RANGES[key]}")
        if value not in RANGES[key]:
            raise self._wrong(key, f"must be {RANGES[key]}", value, self._default(key))
        return value if kind is int else float(value)

    def _items(self, key: str, value: object) -> tuple[Any, ...]:
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise self._wrong(key, "must be a list", value, f"{key}: []")
        if key == "milestones":
            found = tuple(self._number(key, v, int) for v in value)
            if any(a >= b for a, b in pairwise(found)):
                raise self._wrong(key, "must be ascending epochs", value, "milestones: [10, 15]")
            return found
        for name in value:
            if name not in SWITCHES:
                near = difflib.get_close_matches(str(name), SWITCHES, n=1)
                hint = f"'{near[0]}'" if near else "one of " + ", ".join(SWITCHES)
                raise self._wrong(key, f"has no non-ideality {name!r}", value, hint)
        return tuple(value)

    def together(self, recipe: Recipe) -> None:
        """Refuse settings that say nothing with the others, or contradict them."""
        usual = Recipe()
        for key, (other, values) in _ONLY_WITH.items():
            own = getattr(recipe, key)
            if own != getattr(usual, key) and getattr(recipe, other) not in values:
                raise self.error(
                    (key,),
                    f"{SECTION}.{key} does nothing with {other}: {getattr(recipe, other)}",
                    own,
                    f"{other}: {values[0]}, or leaving {key} out",
                )
        self._faults(recipe)
        if recipe.schedule == "step" and not recipe.milestones:
            raise self._wrong("schedule", "needs milestones", "step", "milestones: [2]")
        late = [e for e in recipe.milestones if e >= recipe.epochs]
        if late:
            raise self._wrong(
                "milestones",
                f"must be before epoch {recipe.epochs}, the last",
                list(recipe.milestones),
                "more epochs, or earlier milestones",
            )
        if recipe.warm_up_epochs > recipe.epochs:
            raise self._wrong(
                "warm_up_epochs",
                f"must be at most the {recipe.epochs} epochs there are",
                recipe.warm_up_epochs,
                "more epochs",
            )
        if recipe.lambda_epochs > recipe.epochs:
            raise self._wrong(
                "lambda_epochs",
                f"must be at most the {recipe.epochs} epochs there are",
                recipe.lambda_epochs,
                "lambda_epochs: 0",
            )

    def _faults(self, recipe: Recipe) -> None:
        """Refuse settings of faults that do nothing with the others."""
        faults = recipe.faults
        if faults.method == "validity" and recipe.quantization != "regularized":
            raise self._wrong(
                "faults.method",
                f"does nothing with quantization: {recipe.quantization}, which has no loss that "
                "draws weights to levels",
                faults.method,
                "quantization: regularized, or method: reachable",
            )
        if faults.delta != FaultTraining().delta and faults.method != "validity":
            raise self._wrong(
                "faults.delta",
                f"does nothing with method: {faults.method}",
                faults.delta,
                "method: validity, or leaving delta out",
            )

    def _wrong(self, key: str, what: str, value: object, hint: str) -> UsageError:
        return self.error(tuple(key.split(".")), f"{SECTION}.{key} {what}", value, hint)

    @staticmethod
    def _default(key: str) -> str:
        settings: Any = Recipe()
        for name in key.split("."):
            settings = getattr(settings, name)
        return f"{key.split('.')[-1]}: {settings}"


def check_with_target(recipe: Recipe, target: Target, quantizer: str, levels: int | None) -> None:
    """Refuse settings that the target or the quantizer cannot do.

    Args:
        recipe: The settings.
        target: What is compiled for.
        quantizer: Of the pass ``quantize``.
        levels: Weight levels; None: weights stay float.

    Raises:
        UsageError: CIMC-U56, the DAC has fewer bits, or there is none; CIMC-U57, there are
            no levels to learn or to draw weights to; CIMC-U50, levels are no sums of multipliers.
    """
    for key in ("activation_bits", "first_last_bits"):
        wanted, had = getattr(recipe, key), target.read.dac_bits
        if wanted and (had is None or wanted > had):
            its = "has no DAC" if had is None else f"has DACs of {had} bits"
            raise UsageError(
                "CIMC-U56",
                f"{SECTION}.{key} is {wanted}, but the target '{target.name}' {its}",
                hint=f"{key}: 0" if had is None else f"{key}: {had}, or less",
            )
    if levels is None:
        for key, exact in (("quantization", "straight-through"), ("levels", "fixed")):
            if getattr(recipe, key) != exact:
                raise UsageError(
                    "CIMC-U57",
                    f"{SECTION}.{key} is {getattr(recipe, key)}, but weights have no levels",
                    where=f"target '{target.name}'",
                    hint=f"--levels V, or {key}: {exact}",
                )
    sums = quantizer == "n-multiplier" or target.encoding == "bit-sliced"
    if recipe.levels != "fixed" and not sums:
        raise UsageError(
            "CIMC-U50",
            f"{SECTION}.levels is {recipe.levels}, and levels of the quantizer {quantizer} are "
            "no sums of multipliers",
            hint="levels: fixed, or --quantizer n-multiplier",
        )


def merged(
    section: object,
    given: Mapping[str, Any] | Recipe | None,
    seed: int,
    file: str,
    marks: Marks | None,
) -> Recipe | None:
    """Return the settings of a recipe's section with those given in a call in their place.

    Args:
        section: Of the recipe; None: it has none.
        given: Settings of the call, or all of them; None: none.
        seed: Of the compilation: that of training where nothing else is said.
        file: Where the section was read.
        marks: Positions in that file.

    Raises:
        UsageError: CIMC-U54.
    """
    if section is None and given is None:
        return None
    if section is not None:
        own = training_recipe(section, file, marks)
        values = asdict(own) if isinstance(section, Recipe) else dict(cast("Any", section))
    else:
        values = {}
    if given is not None:
        values.update(asdict(given) if isinstance(given, Recipe) else given)
    return training_recipe({"seed": seed, **values})

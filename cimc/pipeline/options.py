"""The options of a compilation, gathered from a recipe and from arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cimc.errors import UsageError
from cimc.passbase import Pass
from cimc.passes import PASSES, load
from cimc.pipeline.training_options import SECTION, check_with_target, merged
from cimc.targets import Target, yaml_reader
from cimc.targets.problems import Marks, Problem, dotted
from cimc.training.chip_recipe import check_recipe
from cimc.training.recipe import Recipe

QUANTIZERS = ("lloyd", "n-multiplier", "uniform")

#: Where the network is trained; what is found again after it: inputs, cells, converter ranges.
TRAINED = "finetune"
AGAIN = ("calibrate", "assign-conductance", "fit-converters")
#: Where the program is made for the faults of one chip.
REMAPPED = "remap"
#: How converter ranges are found, while training too.
_METHODS = ("input_method", "adc_method", "percentile")


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options; the keys of a recipe.

    Attributes:
        quantizer: ``lloyd``, ``n-multiplier`` or ``uniform``; None: ``n-multiplier`` for
            bit-sliced cells, ``lloyd`` for others.
        levels: Weight levels, 2 to 256; None: the target's default.
        per_column: Each output column has its own levels and takes the whole conductance range,
            which is what noise is measured against; None: yes where a cell takes any conductance.
        digital: Patterns of layers pinned digital.
        analog: Patterns of layers pinned analog.
        seed: Seed of everything drawn.
        converters: How converter ranges are found: options of ``fit-converters``, or the name of
            one method for DACs and ADCs.
        options: Options of single passes, by pass name and field.
        training: How the network is trained, where it is; None: nothing is said of it.
    """

    quantizer: str | None = None
    levels: int | None = None
    per_column: bool | None = None
    digital: tuple[str, ...] = ()
    analog: tuple[str, ...] = ()
    seed: int = 0
    converters: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training: Recipe | None = None

    @classmethod
    def gather(
        cls,
        recipe: Mapping[str, Any] | str | Path | None,
        *,
        training: Mapping[str, Any] | Recipe | None = None,
        **given: Any,
    ) -> Options:
        """Return the options of a recipe, overridden by those given (not None, not empty).

        Args:
            recipe: Options by name, or a YAML file.
            training: Settings of training that win over those of the recipe.
            given: Options that win.

        Raises:
            UsageError: CIMC-U41, an unknown option or a value out of range; CIMC-U54 the same for
                the settings of training.
        """
        values: dict[str, Any] = {}
        file, marks = "", None
        if isinstance(recipe, str | Path):
            file = str(recipe)
            read, marks = _read(Path(recipe))
            values.update(read)
        elif recipe is not None:
            values.update(recipe)
        known = {f.name for f in fields(cls)} | {"bits"}
        for key in values:
            if key not in known:
                raise _bad(f"unknown option {key!r} in the recipe", f"one of {sorted(known)}")
        if "bits" in values:
            bits = values.pop("bits")
            whole = isinstance(bits, int) and not isinstance(bits, bool)
            if not whole or not 1 <= bits <= 8 or "levels" in values:
                raise _bad("a recipe gives levels or bits, once, bits from 1 to 8", "levels: 8")
            values["levels"] = 2**bits
        converters = {**_converters(values), **_converters(given)}
        values.update({k: v for k, v in given.items() if v is not None and v != ()})
        values["converters"] = converters
        for key in ("digital", "analog"):
            if key in values:
                values[key] = _patterns(key, values[key])
        section = values.pop(SECTION, None)
        options = cls(**values)
        options._check()
        trained = merged(section, training, options.seed, file, marks)
        return replace(options, training=trained)

    def _check(self) -> None:
        if self.quantizer is not None and self.quantizer not in QUANTIZERS:
            raise _bad(f"unknown quantizer {self.quantizer!r}", f"one of {', '.join(QUANTIZERS)}")
        if self.levels is not None and (
            isinstance(self.levels, bool)
            or not isinstance(self.levels, int)
            or not 2 <= self.levels <= 256
        ):
            raise _bad(f"levels must be a whole number from 2 to 256 (got {self.levels!r})", "8")
        if self.per_column is not None and not isinstance(self.per_column, bool):
            raise _bad(f"per_column must be true or false (got {self.per_column!r})", "true")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise _bad(f"the seed must be a whole number, 0 or more (got {self.seed!r})", "0")
        if not isinstance(self.options, Mapping) or not all(
            isinstance(v, Mapping) for v in self.options.values()
        ):
            raise _bad(
                "options must be a mapping of passes to their options",
                "options: {quantize: {samples: 256}}",
            )

    def _per_column(self, target: Target) -> bool:
        if self.per_column is not None:
            return self.per_column
        return target.cell.states == "analog" and target.encoding != "signed"

    def _codebook(self, target: Target) -> tuple[str, int | None]:
        """Return quantizer and levels, by default those the target can hold.

        Raises:
            UsageError: CIMC-U38, cells cannot hold what was asked for.
        """
        states = target.cell.states
        listed = not isinstance(states, str) and target.encoding != "bit-sliced"
        if listed and self.quantizer == "n-multiplier":
            raise UsageError(
                "CIMC-U38",
                f"cells of the target '{target.name}' hold {len(states)} states: sums of "
                "multipliers are no differences of these",
                hint="--quantizer lloyd, or uniform",
            )
        if target.encoding != "bit-sliced" or target.slices is None:
            return self.quantizer or "lloyd", self.levels or target.cell.default_levels
        count = target.slices.count
        if self.quantizer == "lloyd":
            raise UsageError(
                "CIMC-U38",
                f"cells of the target '{target.name}' hold bits: their sums are no Lloyd levels",
                hint="--quantizer n-multiplier, or uniform",
            )
        if self.levels not in (None, 2**count):
            raise UsageError(
                "CIMC-U38",
                f"{self.levels} levels asked for; {count} slices a weight have {2**count}",
                hint=f"--levels {2**count}, or a target with other slices",
            )
        return self.quantizer or "n-multiplier", 2**count

    def passes(
        self, target: Target, *, trained: bool = False, for_chip: bool = False
    ) -> list[Pass]:
        """Return the passes of the pipeline, in order, with their options.

        Args:
            target: What is compiled for.
            trained: The network is fine-tuned; codes and converter ranges are fitted again then.
            for_chip: The program is for the faults of one chip, and training too.

        Raises:
            UsageError: CIMC-U41, an option that no pass has; CIMC-U38; CIMC-U50, CIMC-U56,
                CIMC-U57, CIMC-U70 and CIMC-U72, the target, the quantizer or what is known of the
                chip is not for what training is asked for.
        """
        quantizer, levels = self._codebook(target)
        own: dict[str, dict[str, Any]] = {
            "partition": {"digital": self.digital, "analog": self.analog},
            "quantize": {
                "quantizer": quantizer,
                "levels": levels,
                "per_column": self._per_column(target),
            },
            "fit-converters": dict(self.converters),
            TRAINED: {"uniform": quantizer == "uniform"},
        }
        for name in self.options:
            if name not in PASSES:
                raise _bad(
                    f"the recipe sets options of an unknown pass {name!r}", ", ".join(PASSES)
                )
        names = [n for n in PASSES if n != TRAINED and (n != REMAPPED or for_chip)]
        values = {name: {**own.get(name, {}), **self.options.get(name, {})} for name in PASSES}
        found = {k: v for k, v in values["fit-converters"].items() if k in _METHODS}
        cells = {k: v for k, v in values[REMAPPED].items() if k == "cells"}
        values[TRAINED] = {**found, **cells, **values[TRAINED]}
        ranges = {k: v for k, v in found.items() if k != "input_method"}
        values[REMAPPED] = {**ranges, **values[REMAPPED]}
        made = [_make(name, values[name]) for name in names]
        if not trained:
            return made
        chosen = values["quantize"]
        check_with_target(self.training or Recipe(), target, chosen["quantizer"], chosen["levels"])
        check_recipe(self.training or Recipe(), chip=for_chip)
        after = () if for_chip else AGAIN
        return made + [_make(name, values[name]) for name in (TRAINED, *after)]


def _make(name: str, values: Mapping[str, Any]) -> Pass:
    cls = load(name)
    known = {f.name: f for f in fields(cls)}
    for key, value in values.items():
        if key not in known:
            raise _bad(f"pass '{name}' has no option {key!r}", f"one of {sorted(known)}")
        _check_kind(name, key, value, known[key].default)
    return cls(**values)


def _check_kind(name: str, key: str, value: Any, default: Any) -> None:
    """Refuse a value of another kind than the option's default, and counts below 1."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise _bad(f"{name}.{key} must be true or false (got {value!r})", str(default).lower())
    elif isinstance(default, str):
        if not isinstance(value, str):
            raise _bad(f"{name}.{key} must be a name (got {value!r})", default)
    elif isinstance(default, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _bad(f"{name}.{key} must be a number (got {value!r})", str(default))
    elif isinstance(default, int) and (
        isinstance(value, bool) or not isinstance(value, int) or value < 1
    ):
        raise _bad(f"{name}.{key} must be a whole number from 1 (got {value!r})", str(default))


def _converters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of ``fit-converters``: a mapping, or one method for both converters."""
    given = values.get("converters") or {}
    if isinstance(given, str):
        return {"input_method": given, "adc_method": given}
    if isinstance(given, Mapping):
        return dict(given)
    raise _bad(f"converters must be a method or a mapping (got {given!r})", "converters: search")


def _patterns(key: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise _bad(f"{key} must be a pattern or a list of patterns (got {value!r})", "['conv1*']")


def _read(path: Path) -> tuple[dict[str, Any], Marks]:
    """Return the options of a recipe file, and where they stand.

    Raises:
        UsageError: CIMC-U42, the file cannot be read or is not a mapping in plain YAML.
    """
    try:
        value, marks, problems = yaml_reader.read(path.read_bytes())
    except OSError as e:
        raise UsageError(
            "CIMC-U42", f"cannot read the recipe: {e.strerror}", where=str(path)
        ) from e
    if problems or not isinstance(value, dict):
        detail = _said(problems[0], marks) if problems else "not a mapping of options"
        raise UsageError("CIMC-U42", f"the recipe cannot be used: {detail}", where=str(path))
    return value, marks


def _said(problem: Problem, marks: Marks) -> str:
    """Return what is wrong with a file, and in which line."""
    path = dotted(problem.path)
    line, _ = marks.find(problem)
    return f"line {line}: {path + ' ' if path else ''}{problem.message}"


def _bad(message: str, hint: str) -> UsageError:
    return UsageError("CIMC-U41", message, hint=hint)

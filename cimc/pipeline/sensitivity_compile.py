"""Compile a program's model again, as it was compiled, with one setting changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cimc.errors import UsageError
from cimc.ir.network import Array
from cimc.pipeline.compile import compile_model
from cimc.pipeline.sensitivity_plan import Point
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from cimc.verification.reference import Reference

#: Options that the pipeline sets from options of a compilation, by pass.
_OWN = {"partition": ("digital", "analog"), "quantize": ("quantizer", "levels", "per_column")}


class Compiler:
    """Makes the programs of a study's points.

    Attributes:
        compiled: How often the model was compiled.
        data: What it is calibrated on; None: nothing.
    """

    def __init__(
        self,
        program: DeviceProgram,
        model: Reference,
        calibration: Mapping[str, Array] | str | Path | None,
    ) -> None:
        """Start from a program.

        Args:
            program: What the points are variants of.
            model: The model it was compiled from; a function cannot be compiled.
            calibration: Data it was compiled with; None: those it keeps.
        """
        self._program, self._model = program, model
        kept = program.calibration
        self.data = calibration if calibration is not None or kept is None else dict(kept.inputs)
        self.compiled = 0

    def program(self, point: Point) -> DeviceProgram:
        """Return the program of a point: another target, or a new compilation.

        Raises:
            UsageError: CIMC-U11, the model cannot be compiled as it was: it was trained, it is
                another, or data are missing.
            CimcError: What compiling raises: the network may not fit the changed target.
        """
        target = Target.from_plain(dict(self._program.target), name="the program's target")
        if point.changes:
            target = target.changed(point.changes)
        if not point.compiled:
            return _with_target(self._program, target)
        model = self._require_model(point)
        self.compiled += 1
        recipe = recipe_of(self._program.provenance)
        if target.encoding == "bit-sliced":
            recipe.pop("levels", None)  # the slices decide them, and may be what changes
        recipe |= point.options
        made = compile_model(
            model, target=target, recipe=recipe, data=self.data, keep_calibration=False
        )
        self._require_same_model(made.program)
        return made.program

    @property
    def samples(self) -> int | None:
        """Calibration samples kept by the program; None without, or when data are given."""
        kept = self._program.calibration
        if kept is None or self.data is None or isinstance(self.data, str | Path):
            return None
        return max((len(a) for a in self.data.values() if a.ndim), default=None)

    def _require_model(self, point: Point) -> str | Path:
        """Return the model, with everything there is to know that it can be compiled again."""
        changed = ", ".join((*point.changes, *point.options))
        if callable(self._model):
            raise UsageError(
                "CIMC-U11",
                f"{changed} changes what is compiled, and the reference is a function",
                where="reference",
                hint="the path of the ONNX file the program was compiled from",
            )
        if "training" in self._program.provenance:
            raise UsageError(
                "CIMC-U11",
                f"{changed} changes what is compiled, and the program was trained for what it is",
                where="--sweep",
                hint="a parameter of chips (noise, wires, stuck, lines, at), or a program trained "
                "for each value",
            )
        calibrated = any(
            use.dac.policy == "static"
            for layer in self._program.layers.values()
            for use in layer.uses
        )
        had = self._program.provenance.get("calibration_samples")
        if self.data is None and (had or (had is None and calibrated)):
            raise UsageError(
                "CIMC-U11",
                f"{changed} changes what is compiled, and the program keeps no calibration data",
                where="--sweep",
                hint="--calibration X.npz with the data it was compiled with",
            )
        return self._model

    def _require_same_model(self, made: DeviceProgram) -> None:
        had = self._program.provenance.get("model", {}).get("sha256")
        now = made.provenance["model"]["sha256"]
        if had is not None and had != now:
            raise UsageError(
                "CIMC-U11",
                "the reference is not the model the program was compiled from, and the swept "
                "parameter needs that to be compiled again",
                where=str(self._model),
                hint=f"the model with sha256 {had}",
            )


def recipe_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe that compiles a model as a program was compiled.

    Args:
        provenance: Of the program.
    """
    recipe: dict[str, Any] = {"seed": provenance.get("seed", 0), "options": {}}
    for step in provenance.get("pipeline", ()):
        name, options = step["pass"], dict(step["options"])
        for key in _OWN.get(name, ()):
            value = options.pop(key, None)
            if value is not None:
                recipe[key] = value
        if options:
            recipe["options"][name] = options
    return recipe


def _with_target(program: DeviceProgram, target: Target) -> DeviceProgram:
    from dataclasses import replace

    return replace(program, target=target.plain())

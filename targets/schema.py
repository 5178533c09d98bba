"""A target: what a compiler must know of a chip, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from cimc.targets import problems, rules
from cimc.targets.fields import Section
from cimc.targets.noise_sections import Lines, Noise, ProgrammingNoise, Stuck, Wires
from cimc.targets.problems import Problem
from cimc.targets.sections import (
    AdcSection,
    Array,
    Cell,
    Chip,
    Costs,
    Pair,
    Programming,
    Read,
    Slices,
)

#: Version of the description format.
VERSION: Final = 1

#: Fields without influence on what a chip computes.
_NOT_PHYSICAL: Final = frozenset({"version", "name", "description", "costs", "sources"})


class Target(Section):
    """A chip that networks are compiled for.

    Made by :func:`cimc.targets.load_target` or :meth:`from_plain`; immutable.
    """

    version: Annotated[Literal[1], Field(alias="schema", description="format of this file")]
    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="of the target")
    ]
    description: Annotated[str, Field(max_length=2000, description="one or two sentences")] = ""
    array: Annotated[Array, Field(description="one crossbar array")]
    chip: Annotated[Chip, Field(description="how many arrays")] = Chip()
    cell: Annotated[Cell, Field(description="one memory cell")]
    encoding: Annotated[
        Literal["differential-pair", "offset-column", "bit-sliced", "signed"],
        Field(description="how cells stand for a weight"),
    ]
    cells_per_weight: Annotated[
        int | None,
        Field(ge=1, le=64, description="none: 2 for a pair, a cell a slice, 1 otherwise"),
    ] = None
    slices: Annotated[
        Slices | None, Field(description="required with the encoding bit-sliced")
    ] = None
    pair: Annotated[Pair, Field(description="layout of a differential pair")] = Pair()
    read: Annotated[Read, Field(description="how inputs are applied")] = Read()
    adc: Annotated[AdcSection, Field(description="how outputs are converted")] = AdcSection()
    noise: Annotated[Noise, Field(description="random non-idealities")] = Noise()
    stuck: Annotated[Stuck | None, Field(description="none: no stuck cells")] = None
    lines: Annotated[Lines | None, Field(description="none: no broken lines")] = None
    wires: Annotated[Wires, Field(description="resistances around the cells")] = Wires()
    programming: Annotated[Programming, Field(description="how cells are written")] = Programming()
    costs: Annotated[Costs, Field(description="figures for estimates only")] = Costs()
    sources: Annotated[
        dict[str, str],
        Field(description="where each number comes from, by its dotted path"),
    ] = Field(default_factory=dict)

    @property
    def arrays(self) -> int | None:
        """Arrays on the chip [-]; None: unlimited."""
        if self.chip.cores is None or self.chip.arrays_per_core is None:
            return None
        return self.chip.cores * self.chip.arrays_per_core

    @property
    def defaulted(self) -> list[str]:
        """Physical settings the description does not give, as ``path = value`` lines."""
        return [
            f"{path} = {'none' if value is None else value}"
            for path, value in _defaults(self, self.model_dump(by_alias=True, mode="json"), "")
        ]

    def plain(self) -> dict[str, Any]:
        """Return the description as plain data, complete, in the form it is written in files."""
        return self.model_dump(by_alias=True, mode="json")

    @classmethod
    def from_plain(cls, data: object, *, name: str = "target") -> Target:
        """Return the target that plain data describes.

        Args:
            data: What :meth:`plain` returned, or what a target file holds.
            name: What to call the description in messages.

        Raises:
            TargetError: CIMC-T03..T05, with every problem found.
        """
        target, found = check(data)
        if target is None:
            raise problems.error(name, found)
        return target

    def changed(self, changes: Mapping[str, object]) -> Target:
        """Return the target with some settings changed, checked again.

        Args:
            changes: Written values by dotted path: ``{"adc.bits": 6, "cell.g_max": "20 uS"}``.

        Raises:
            TargetError: CIMC-T03..T05, with every problem found.
        """
        data = self.plain()
        for path, value in changes.items():
            *parents, key = path.split(".")
            section = data
            for parent in parents:
                if not isinstance(section.get(parent), dict):
                    section[parent] = {}
                section = section[parent]
            section[key] = value
            told = data["sources"]  # what is changed no longer comes from there
            data["sources"] = {k: v for k, v in told.items() if not f"{k}.".startswith(f"{path}.")}
        return Target.from_plain(data, name=self.name)

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        found = rules.broken(self)
        if found:
            raise PydanticCustomError("rules", "breaks a rule", {"problems": found})
        return self


def check(data: object) -> tuple[Target | None, list[Problem]]:
    """Return the target that plain data describes, or everything wrong with it."""
    if not isinstance(data, dict):
        return None, [Problem("CIMC-T03", (), "should be a mapping of settings", data)]
    try:
        return Target.model_validate(data), []
    except ValidationError as e:
        return None, [p for detail in e.errors() for p in _problems(detail)]


def _problems(detail: Any) -> list[Problem]:
    """Translate one pydantic error."""
    kind, path = str(detail["type"]), tuple(detail["loc"])
    if kind == "rules":
        return list(detail["ctx"]["problems"])
    if kind == "missing":
        return [Problem("CIMC-T03", path, "is required")]
    if kind == "extra_forbidden":
        return [Problem("CIMC-T03", path, "is not a setting of this section", at_key=True)]
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return [Problem("CIMC-T03", path, message, detail["input"])]


def _defaults(section: BaseModel, plain: Any, prefix: str) -> list[tuple[str, object]]:
    """Return the path and written value of each field of the section that was not given."""
    found: list[tuple[str, object]] = []
    for name, info in type(section).model_fields.items():
        if not prefix and name in _NOT_PHYSICAL:
            continue
        key = info.alias or name
        value = getattr(section, name)
        if isinstance(value, ProgrammingNoise) and name == "programming":
            continue  # one of its fields stands for all
        if isinstance(value, BaseModel):
            found += _defaults(value, plain[key], f"{prefix}{key}.")
        elif name not in section.model_fields_set:
            found.append((f"{prefix}{key}", plain[key]))
    return found

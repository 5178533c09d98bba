"""Show a target to people, and its schema to editors."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from cimc.targets.schema import Target

#: Longest line of names of what a target does not have [character].
_WIDTH: Final = 100

#: Where none means as many as wanted.
_UNLIMITED: Final = ("array", "chip")

#: Of these one is given where there is programming noise (rule one_sigma).
_ALTERNATIVES: Final = frozenset(
    f"noise.programming.{key}" for key in ("sigma", "sigma_relative", "sigma_log", "polynomial")
)


def describe(target: Target) -> str:
    """Return the target as text: one setting a line with its source, defaulted ones marked.

    Sections and settings that are none, or 0 by default, are listed together in the end.
    """
    plain = target.plain()
    defaulted = {line.split(" = ", 1)[0] for line in target.defaulted}
    sources: dict[str, str] = plain.pop("sources")
    lines = [f"{target.name}: {target.description}".rstrip(": \n")]
    for key in ("schema", "name", "description"):
        plain.pop(key)
    absent: list[str] = []
    shown: list[tuple[str, str, str]] = []
    for path, value in _leaves(plain, "", defaulted):
        if path.startswith(_UNLIMITED) and value is None:
            value = "unlimited"
        if value is None:
            absent.append(path)
            continue
        note = "default" if path in defaulted else sources.get(path, "")
        shown.append((path, _shown(value), note))
    shown.append(("arrays", "unlimited" if target.arrays is None else f"{target.arrays:,}", ""))
    width = max(26, *(len(path) for path, _, _ in shown))
    lines += [f"  {path:<{width}} {value:<22} {note}".rstrip() for path, value, note in shown]
    by_default = [path for path in absent if _within(path, defaulted)]
    given = [path for path in absent if path not in by_default]
    return "\n".join([*lines, *_list("none", given), *_list("none by default", by_default)])


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of target files."""
    schema = Target.model_json_schema(by_alias=True, mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "cimc target"
    return schema


def _leaves(
    plain: dict[str, Any], prefix: str, defaulted: set[str]
) -> Iterator[tuple[str, object]]:
    """Yield path and value of every setting; None: what is not there, be it a whole section.

    The ways to give the programming noise that were not taken are left out.
    """
    for key, value in plain.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            inner = list(_leaves(value, f"{path}.", defaulted))
            nothing = all(v is None for _, v in inner) and not path.startswith(_UNLIMITED)
            yield from [(path, None)] if nothing else inner
        elif value is not None or path not in _ALTERNATIVES:
            zero = path in defaulted and (value == 0 or str(value).startswith("0 "))
            yield path, None if zero else value


def _within(path: str, defaulted: set[str]) -> bool:
    """Whether a setting, or every setting of a section, was left to its default."""
    return any(name == path or name.startswith(f"{path}.") for name in defaulted)


def _list(title: str, paths: list[str]) -> list[str]:
    """Return the lines that list paths; none when there are none."""
    text = f"{title}: {', '.join(paths)}" if paths else ""
    return textwrap.wrap(
        text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)

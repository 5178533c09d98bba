"""Read a YAML file into plain data, with the line and column of everything in it.

The accepted language is a small part of YAML 1.1: one document of mappings, lists and scalars.
What reads differently to people and to YAML 1.1 is refused instead of guessed: duplicate keys,
anchors, aliases, tags, merge keys, ``on``/``yes`` (booleans), ``010`` (octal), ``12:30`` (base
60), dates, ``1_000``, ``.inf``.  ``1e-4``, a string to YAML 1.1, is the number it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml import events

from cimc.targets.problems import Marks, Path, Problem

#: Largest file read [byte]; the shipped ones are under 5 kB.
SIZE_LIMIT: Final = 1 << 20
#: Deepest nesting of mappings and lists [-].
DEPTH_LIMIT: Final = 16

_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_NUMBER: Final = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_LEADING_ZERO: Final = re.compile(r"[-+]?0[0-9]")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None}
_RESOLVER: Final[Any] = yaml.resolver.Resolver()
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Unacceptable(Exception):  # noqa: N818
    """Reading cannot go on: what is wrong, and where."""

    def __init__(self, what: str, position: tuple[int, int]) -> None:
        super().__init__(what)
        self.what, self.position = what, position


@dataclass(slots=True)
class _Reading:
    """State of one reading: what was found so far."""

    stream: Iterator[events.Event]
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read(data: bytes) -> tuple[Any, Marks, list[Problem]]:
    """Return the plain data of a YAML text, positions, and everything wrong with it.

    Args:
        data: The file, UTF-8.

    Returns:
        The data (as much as could be read), the position of each value, and the problems.
    """
    if len(data) > SIZE_LIMIT:
        message = f"is longer than {SIZE_LIMIT} bytes"
        return None, Marks({}, {}), [Problem("CIMC-T02", (), message, f"{len(data)} bytes")]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        return None, Marks({(): (line, 1)}, {}), [Problem("CIMC-T02", (), "is not UTF-8 text")]
    reading = _Reading(_events(text))
    try:
        value = _document(reading)
    except _Unacceptable as e:
        return None, Marks({(): e.position}, {}), [Problem("CIMC-T02", (), e.what)]
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        what = str(getattr(e, "problem", None) or getattr(e, "reason", None) or "cannot be read")
        position = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        problem = Problem("CIMC-T02", (), f"is not YAML: {what}")
        return None, Marks({(): position}, {}), [problem]
    return value, Marks(reading.values, reading.keys), reading.problems


def _events(text: str) -> Iterator[events.Event]:
    yield from yaml.parse(text, Loader=_LOADER)


def _document(reading: _Reading) -> Any:
    next(reading.stream)  # stream start
    first = next(reading.stream)
    if isinstance(first, events.StreamEndEvent):
        reading.problems.append(Problem("CIMC-T02", (), "is empty"))
        return None
    value = _value(reading, next(reading.stream), ())
    next(reading.stream)  # document end
    if not isinstance(next(reading.stream), events.StreamEndEvent):
        reading.problems.append(Problem("CIMC-T02", (), "holds more than one document"))
    return value


def _value(reading: _Reading, event: events.Event, path: Path) -> Any:
    """Read the value that begins with the event."""
    reading.values.setdefault(path, _position(event))
    _refuse_references(reading, event, path)
    if len(path) > DEPTH_LIMIT:
        raise _Unacceptable(f"nested deeper than {DEPTH_LIMIT}", _position(event))
    if isinstance(event, events.MappingStartEvent):
        return _mapping(reading, path)
    if isinstance(event, events.SequenceStartEvent):
        return _sequence(reading, path)
    if isinstance(event, events.ScalarEvent):
        return _scalar(reading, event, path)
    return None  # an alias, reported


def _mapping(reading: _Reading, path: Path) -> dict[str, Any]:
    result: dict[str, Any] = {}
    while not isinstance(event := next(reading.stream), events.MappingEndEvent):
        if not isinstance(event, events.ScalarEvent):
            raise _Unacceptable("a key should be a word", _position(event))
        key = str(event.value)
        inner = (*path, key)
        repeated = key in result
        if not repeated:
            reading.keys[inner] = _position(event)
        _refuse_references(reading, event, inner)
        if key == "<<":
            reading.problems.append(Problem("CIMC-T02", inner, "merge keys are refused"))
        value = _value(reading, next(reading.stream), inner)
        if repeated:
            line, column = _position(event)
            message = f"key given twice, again at line {line} column {column}"
            reading.problems.append(Problem("CIMC-T02", inner, message, key, at_key=True))
        else:
            result[key] = value
    return result


def _sequence(reading: _Reading, path: Path) -> list[Any]:
    result: list[Any] = []
    while not isinstance(event := next(reading.stream), events.SequenceEndEvent):
        result.append(_value(reading, event, (*path, len(result))))
    return result


def _scalar(reading: _Reading, event: events.ScalarEvent, path: Path) -> Any:
    text = str(event.value)
    if event.style:  # quoted or block text; plain is None or empty
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text == "":
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and not _LEADING_ZERO.match(text):
        return float(text)
    tag = str(_RESOLVER.resolve(yaml.ScalarNode, text, (True, False)))
    if tag != "tag:yaml.org,2002:str" or _NUMBER.fullmatch(text):
        kind = tag.rsplit(":", 1)[-1]
        message = f"is ambiguous: YAML 1.1 reads it as {kind}; write it out, or quote it"
        reading.problems.append(Problem("CIMC-T02", path, message, text))
    return text


def _refuse_references(reading: _Reading, event: events.Event, path: Path) -> None:
    """Report anchors, aliases and tags."""
    if isinstance(event, events.AliasEvent):
        reading.problems.append(Problem("CIMC-T02", path, "aliases are refused", event.anchor))
        return
    if getattr(event, "anchor", None) is not None:
        anchor = str(getattr(event, "anchor", ""))
        reading.problems.append(Problem("CIMC-T02", path, "anchors are refused", f"&{anchor}"))
    if getattr(event, "tag", None) is not None:
        tag = str(getattr(event, "tag", ""))
        reading.problems.append(Problem("CIMC-T02", path, "tags are refused", tag))


def _position(event: events.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)

"""The YAML of a manifest: a small, strict subset, written canonically and read safely.

Plain data only: mappings with text keys, lists, text, integers, floats, booleans, null.  No
anchors, aliases, tags or directives, no duplicate keys; depth and size are bounded while reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from cimc.errors import ProgramError

#: Nesting a manifest may have [-].
MAX_DEPTH: Final = 32
#: Scalars, lists and mappings a manifest may have [-].
MAX_NODES: Final = 2_000_000

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"-?[0-9]+\.[0-9]+(e[-+][0-9]+)?")
_WORDS: Final = {
    "null": None,
    "true": True,
    "false": False,
    ".inf": math.inf,
    "-.inf": -math.inf,
    ".nan": math.nan,
}
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def scalar(value: bool | float | str | None) -> str:
    """Return one scalar as YAML text that every YAML 1.1 and 1.2 reader understands alike.

    Raises:
        ProgramError: ``CIMC-P26``, it is something else, or no Unicode text.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _float(value)
    if not isinstance(value, str):
        raise ProgramError("CIMC-P26", f"{type(value).__name__} is not plain data: {value!r:.80}")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise ProgramError("CIMC-P26", f"not Unicode text: {value!r:.80}")
    if _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    return '"' + "".join(map(_escape, value)) + '"'


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = float.__repr__(value)
    mantissa, e, exponent = text.partition("e")
    # YAML 1.1 takes 1e-05 for a text: it wants the point.
    return text if "." in mantissa else f"{mantissa}.0{e}{exponent}"


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if char.isprintable() and code != 0xFEFF:
        return char
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def flow(value: Any) -> str:
    """Return plain data as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def folded(item: Any, breaks: Collection[str]) -> Iterator[str]:
    """Yield one item of a list, a mapping in flow style, with a new line at some of its keys."""
    if not isinstance(item, Mapping):
        yield f"- {flow(item)}"
        return
    line = "- {"
    for count, (key, value) in enumerate(item.items()):
        if count and key in breaks:
            yield line.rstrip()
            line = "   "
        comma = ", " if count + 1 < len(item) else ""
        line += f"{scalar(key)}: {flow(value)}{comma}"
    yield line + "}"


def block(value: Mapping[str, Any], *, deep: int, indent: str = "") -> Iterator[str]:
    """Yield the lines of a mapping in block style.

    Args:
        value: The mapping.
        deep: Levels written in block style; what is deeper goes on one line.
        indent: Leading spaces.
    """
    for key, item in value.items():
        head = f"{indent}{scalar(key)}:"
        listed = isinstance(item, list | tuple)
        if not item or deep == 0 or not (listed or isinstance(item, Mapping)):
            yield f"{head} {flow(item)}"
        elif isinstance(item, Mapping):
            yield head
            yield from block(item, deep=deep - 1, indent=indent + "  ")
        else:
            yield head
            yield from _items(item, deep=deep - 1, indent=indent)


def _items(values: Sequence[Any], *, deep: int, indent: str) -> Iterator[str]:
    for item in values:
        if deep == 0 or not isinstance(item, Mapping) or not item:
            yield f"{indent}- {flow(item)}"
            continue
        lines = list(block(item, deep=deep - 1, indent=indent + "  "))
        yield f"{indent}- {lines[0].lstrip()}"
        yield from lines[1:]


def parse(text: str, *, where: str) -> Any:
    """Read plain data from YAML text.

    Raises:
        ProgramError: ``CIMC-P06``, naming ``where`` and the line.
    """
    try:
        return _Builder(where).build(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise ProgramError(
            "CIMC-P06", f"not valid YAML: {problem}", where=f"{where}{line}"
        ) from error


class _Builder:
    """Builds plain data from parser events, without recursion."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.line = 0
        self.nodes = 0
        #: Open containers, each with the key that waits for its value.
        self.stack: list[tuple[dict[str, Any] | list[Any], list[str]]] = []
        self.roots: list[Any] = []

    def fail(self, problem: str) -> ProgramError:
        return ProgramError("CIMC-P06", problem, where=f"{self.where}:{self.line}")

    def build(self, text: str) -> Any:
        parser = yaml.CSafeLoader(text)
        try:
            while True:
                event = parser.get_event()
                if event is None:
                    break
                self.take(event)
        finally:
            parser.dispose()
        if len(self.roots) != 1:
            raise self.fail(f"one YAML document expected (got {len(self.roots)})")
        return self.roots[0]

    def take(self, event: yaml.Event) -> None:
        if event.start_mark is not None:
            self.line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise self.fail("aliases are not allowed")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            self.check(event)
        if isinstance(event, yaml.ScalarEvent):
            self.add(self.resolve(event))
        elif isinstance(event, yaml.MappingStartEvent):
            self.push({})
        elif isinstance(event, yaml.SequenceStartEvent):
            self.push([])
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()
        elif isinstance(event, yaml.DocumentStartEvent) and (event.version or event.tags):
            raise self.fail("YAML directives are not allowed")

    def check(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.fail(f"more than {MAX_NODES} values")
        if event.anchor is not None:
            raise self.fail("anchors are not allowed")
        if event.tag is not None:
            raise self.fail(f"tags are not allowed (got {str(event.tag)[:40]!r})")

    def push(self, container: dict[str, Any] | list[Any]) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise self.fail(f"nested deeper than {MAX_DEPTH}")
        self.add(container)
        self.stack.append((container, []))

    def add(self, value: Any) -> None:
        if not self.stack:
            self.roots.append(value)
            return
        container, keys = self.stack[-1]
        if isinstance(container, list):
            container.append(value)
        elif keys:
            container[keys.pop()] = value
        elif not isinstance(value, str):
            raise self.fail("a key must be text")
        elif value in container:
            raise self.fail(f"key {value[:80]!r} is there twice")
        else:
            keys.append(value)

    def resolve(self, event: yaml.ScalarEvent) -> Any:
        text = event.value
        if not event.implicit[0]:  # quoted
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if not _PLAIN.fullmatch(text) or text.lower() in _RESERVED:
            raise self.fail(f"ambiguous unquoted value {text[:40]!r}")
        return text

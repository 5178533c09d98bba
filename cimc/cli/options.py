"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout."
)
seed_option: Callable[[Any], Any] = click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Seed of everything drawn [0]."
)
_only: Callable[[Any], Any] = click.option(
    "--only", metavar="NAME,...", help="Only these non-idealities, nothing else."
)
_without: Callable[[Any], Any] = click.option(
    "--without", metavar="NAME,...", help="Everything the target describes but these."
)
at_option: Callable[[Any], Any] = click.option(
    "--at", metavar="TIME", help="Time after programming: '30 s', 1h, 1d [the target's]."
)


_fault_map: Callable[[Any], Any] = click.option(
    "--fault-map", metavar="F", help="Run on the chip with these faults."
)
_any_chip: Callable[[Any], Any] = click.option(
    "--any-chip", is_flag=True, help="Let a program for one chip run with faults of another."
)


def fault_map_options(command: Any) -> Any:
    """Add the options that say which chip a program runs on."""
    return _fault_map(_any_chip(command))


def effect_options(command: Any) -> Any:
    """Add the options that say which non-idealities chips have, and when they are evaluated."""
    return _only(_without(at_option(command)))

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

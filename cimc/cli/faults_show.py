"""A fault map in words and tables."""

from __future__ import annotations

from typing import Any

from cimc.cli.output import facts, share, table
from cimc.faults.summary import STATE_NAMES, Summary

#: Broken lines that are named.
_NAMED = 20


def show_summary(summary: Summary, name: str, picture: str | None) -> None:
    """Print what is in a map.

    Args:
        summary: The map in figures.
        name: Of its file.
        picture: File a picture was written to; None: none was.
    """
    plain = summary.to_json()
    size = " x ".join(str(plain[n] or "?") for n in ("array_rows", "array_columns"))
    total = f"{summary.faulty:,}"
    if summary.rate is not None:
        total += f" of {summary.cells:,} ({share(summary.rate)})"
    pairs = [
        ("chip", summary.map.chip),
        ("target", plain["target"] or "not said"),
        ("arrays tested", f"{plain['arrays']:,}: {_short(plain['tested_arrays'])}"),
        ("cells of an array", size),
        ("faulty cells", total),
    ]
    states = summary.counts.sum(axis=0).tolist()
    for label, count in zip(STATE_NAMES.values(), states, strict=True):
        text = f"{count:,}"
        if summary.faulty:
            text += f" ({share(count / summary.faulty)} of them)"
        pairs.append((f"  {label}", text + _conductances(plain, label)))
    pairs.append(("broken lines", _lines(plain)))
    if plain["gain_arrays"]:
        spread = [f"{n.upper()} {100 * plain[f'sigma_{n}']:.3g} %" for n in ("lrs", "hrs")
                  if plain[f"sigma_{n}"] is not None]  # fmt: skip
        pairs.append(("gains", f"of {plain['gain_arrays']:,} arrays; spread: {', '.join(spread)}"))
    for key, label, unit in (
        ("temperature_k", "temperature", "K"),
        ("time_s", "after programming", "s"),
    ):
        if plain[key] is not None:
            pairs.append((label, f"{plain[key]:g} {unit}"))
    if picture is not None:
        pairs.append(("picture", picture))
    facts(f"fault map {name}", pairs)
    _worst(summary)


def _conductances(plain: dict[str, Any], label: str) -> str:
    found = plain["conductance_us"]
    if found is None or label != STATE_NAMES[3]:
        return ""
    return f", {found['min']:.4g} .. {found['max']:.4g} uS, median {found['median']:.4g}"


def _lines(plain: dict[str, Any]) -> str:
    """Return how many lines are broken, and which when they are few."""
    if plain["array_rows"] is None and plain["array_columns"] is None:
        return "not known: the file does not say how large arrays are"
    text = f"{plain['broken_rows']:,} rows, {plain['broken_columns']:,} columns"
    named = [
        f"array {line['array']} {kind} {line[kind]}"
        for line in plain["broken_lines"][:_NAMED]
        for kind in ("row", "column")
        if kind in line
    ]
    more = plain["broken_rows"] + plain["broken_columns"] - len(named)
    return text + (f" ({', '.join(named)}{f' and {more} more' if more else ''})" if named else "")


def _worst(summary: Summary) -> None:
    """Print the arrays with most faults."""
    rows = []
    for index in summary.worst.tolist():
        counts = summary.counts[index].tolist()
        rate = share(sum(counts) / summary.array_cells) if summary.array_cells else "-"
        number = str(summary.map.arrays[index])
        rows.append([number, f"{sum(counts):,}", rate, *(f"{c:,}" for c in counts)])
    if rows:
        table(
            "arrays with most faults",
            ["array", "faulty", "rate", "at G_min", "at G_max", "at a conductance"],
            rows,
        )


def _short(text: str) -> str:
    if not text:
        return "none"
    return text if len(text) <= 60 else text[:60].rpartition(",")[0] + ", ..."

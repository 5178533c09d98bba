"""What each ingredient of recompiling adds: alone on top of nearest, and left out of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tests.fault_tables import networks
from tests.fault_tables.jobs import MAPS, Base, Faults, Job, Store
from tests.fault_tables.methods import gap, pair
from tests.fault_tables.pages import counted, gap_cell, write_page
from tests.fault_tables.ways import NOTHING, Way
from tests.job_store.pages import Part
from tests.training_tables.stats import cell, difference, of

#: Switches of RemapSettings, and what tables call them.
SWITCHES: Final = {
    "arrays": "exchange of arrays",
    "rows": "row permutation",
    "columns": "column permutation",
    "polarity": "polarity of columns",
    "feedback": "error feedback",
    "descent": "descent after it",
    "retarget": "outputs of the float network as targets",
    "gain": "gain of columns",
    "bias": "bias",
}
CELLS: Final = {
    "codebook": "healthy weights take levels of the codebook",
    "states": "every cell takes any state",
    "analog": "every cell takes any conductance",
}
RATES: Final = (0.1, 0.2)
CLUSTERED: Final = 0.8
BASE: Final = pair(8)


def alone(name: str) -> Way:
    """Return nearest with one ingredient; descent and retargeting need error feedback."""
    on: dict[str, Any] = {name: True}
    if name in ("descent", "retarget"):
        on["feedback"] = True
    return Way(f"+ {SWITCHES[name]}", "feedback", {**NOTHING, **on})


def without(name: str) -> Way:
    """Return all ingredients but one; without error feedback there is nothing to retarget."""
    return Way(f"- {SWITCHES[name]}", "feedback", {name: False})


NEAREST: Final = Way("nearest", "feedback", NOTHING)
ALL: Final = Way("all", "feedback")
TWO_ROUNDS: Final = Way("+ second round", "feedback", {"rounds": 2})
KINDS: Final = {
    name: Way(f"all: {said}", "feedback", {"cells": name}) for name, said in CELLS.items()
}
TABLES: Final[dict[str, tuple[Way, ...]]] = {
    "alone": (NEAREST, *(alone(name) for name in SWITCHES)),
    "left out": (ALL, *(without(name) for name in SWITCHES), TWO_ROUNDS),
    "cells": tuple(KINDS.values()),
}
#: Kinds of faults: uniform ones of two rates, clustered ones of the second.
FAULTS: Final = {
    **{f"{rate:.0%} of cells": Faults(rate) for rate in RATES},
    f"{RATES[-1]:.0%}, {CLUSTERED:.0%} of them in clusters": Faults(
        RATES[-1], clustered=CLUSTERED
    ),
}


#: Bases by the spare lines and arrays they have; all on a chip of four arrays.
CHIP: Final[dict[str, object]] = {"chip.cores": 1, "chip.arrays_per_core": 4}
SPARES: Final = {
    said: replace(BASE, changes={**CHIP, **given})
    for said, given in {
        "none": {},
        "4 word lines of 256": {"array.spare_rows": 4},
        "8 bit lines of 256": {"array.spare_columns": 8},
        "one array of 4": {"chip.spare_arrays": 1},
        "all of these, of 5 arrays": {
            "chip.arrays_per_core": 5, "array.spare_rows": 4, "array.spare_columns": 8,
            "chip.spare_arrays": 1,
        },
    }.items()
}  # fmt: skip


def cells(way: Way, faults: Faults, base: Base = BASE) -> list[Job]:
    """Return the recompilations of one figure, one a map."""
    return way.jobs(base, faults, MAPS, ("ideal",))


def jobs() -> list[Job]:
    """Return all, first maps first; left out before alone."""
    found = [
        job
        for table in ("left out", "alone", "cells")
        for seed in MAPS
        for way in TABLES[table]
        for faults in FAULTS.values()
        for job in cells(way, faults)
        if job.seed == seed
    ]
    found += [
        job
        for seed in MAPS
        for base in SPARES.values()
        for faults in FAULTS.values()
        for job in cells(ALL, faults, base)
        if job.seed == seed
    ]
    return list({job.key: job for job in found}.values())


def mean_of(store: Store, jobs: list[Job], figure: str) -> float | None:
    """Return the mean over maps of what recompiling reports; None where there is nothing."""
    there = [row["report"].get(figure) for job in jobs if (row := store.get(job)) is not None]
    known = [value for value in there if value is not None]
    return sum(known) / len(known) if known else None


def rows(store: Store, entries: Mapping[str, list[Job]]) -> list[list[str]]:
    """Return for each entry the gap, what it changes against the first one, error and seconds."""
    first, found = next(iter(entries.values())), []
    for said, mine in entries.items():
        change = difference(store.scores(mine, "ideal"), store.scores(first, "ideal"))
        error, seconds = (mean_of(store, mine, f) for f in ("output_error_after", "seconds"))
        found.append([
            said, gap_cell(gap(store, mine, "ideal")),
            "" if mine is first else gap_cell(change),
            "missing" if error is None else f"{100 * error:.2f}",
            "missing" if seconds is None else f"{seconds:.1f}",
        ])  # fmt: skip
    return found


def parts(store: Store) -> list[Part]:
    """Return the tables: a kind of faults after the other."""
    found = []
    header = ["recompiled with", "gap", "change", "output error [%]", "seconds"]
    for said, faults in FAULTS.items():
        for name, ways in TABLES.items():
            title, text = TITLES[name]
            entries = {way.said: cells(way, faults) for way in ways}
            found.append(Part(f"{said} stuck: {title}", text, header, rows(store, entries)))
        entries = {name: cells(ALL, faults, base) for name, base in SPARES.items()}
        title, text = TITLES["spares"]
        found.append(Part(f"{said} stuck: {title}", text, header, rows(store, entries)))
    return found


TEXT: Final = (
    "ResNet-8 on Fashion-MNIST, 8 Lloyd levels a layer, differential pairs (target `rram`), mode "
    "`ideal`, all 10,000 test images; faults half at G_min, half at G_max. Gap: float minus "
    "program [point]; *change*: of top-1, against the first row, map by map, positive is better; "
    "*output error*: of crossbar outputs, relative, as the report has it; seconds: of "
    "recompiling, one thread of a busy machine."
)
TITLES: Final = {
    "alone": (
        "each alone, added to the nearest reachable value",
        "Descent and targets need error feedback and come with it.",
    ),
    "left out": ("each left out of all", ""),
    "cells": ("what healthy cells may hold", "With everything else on."),
    "spares": (
        "spare lines and arrays",
        "All ingredients; the layers lie otherwise, as fewer lines are theirs. Spare lines and "
        "arrays have faults like all others.",
    ),
}


def write(store: Store) -> None:
    """Write the page."""
    base = networks.float_score(networks.RESNET8)
    whole = of(store.scores(cells(ALL, FAULTS["10% of cells"]), "ideal"))
    told = f"Float: {base:.2f} %; all ingredients at 10 %: {cell(whole)} %."
    text = f"{TEXT} {told} {counted(store, jobs())}"
    title = "Faults: what each ingredient of recompiling adds"
    write_page("faults-ingredients", title, "ingredients", text, parts(store))

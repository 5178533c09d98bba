"""What each ingredient of recompiling adds: alone on top of nearest, and left out of all."""

from __future__ import annotations

from typing import Any, Final

from tests.fault_tables import networks
from tests.fault_tables.jobs import MAPS, Base, Faults, Job, Store
from tests.fault_tables.methods import gap, pair
from tests.fault_tables.pages import counted, write_page
from tests.fault_tables.ways import NOTHING, Way
from tests.job_store.pages import Part
from tests.training_tables.stats import cell, difference, gap_cell, of

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
ONE_ROUND: Final = Way("- second round", "feedback", {"rounds": 1})
KINDS: Final = {
    name: Way(f"all: {said}", "feedback", {"cells": name}) for name, said in CELLS.items()
}
TABLES: Final[dict[str, tuple[Way, ...]]] = {
    "alone": (NEAREST, *(alone(name) for name in SWITCHES)),
    "left out": (ALL, *(without(name) for name in SWITCHES), ONE_ROUND),
    "cells": tuple(KINDS.values()),
}
#: Kinds of faults: uniform ones of two rates, clustered ones of the second.
FAULTS: Final = {
    **{f"{rate:.0%} of cells": Faults(rate) for rate in RATES},
    f"{RATES[-1]:.0%}, {CLUSTERED:.0%} of them in clusters": Faults(
        RATES[-1], clustered=CLUSTERED
    ),
}


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
    return list({job.key: job for job in found}.values())


def rows(store: Store, ways: tuple[Way, ...]) -> list[list[str]]:
    """Return gaps, and what each way changes against the first one."""
    found = []
    for way in ways:
        row = [way.said]
        for faults in FAULTS.values():
            mine, first = cells(way, faults), cells(ways[0], faults)
            row.append(gap_cell(gap(store, mine, "ideal")))
            change = difference(store.scores(mine, "ideal"), store.scores(first, "ideal"))
            row.append("" if way is ways[0] else gap_cell(change))
        found.append(row)
    return found


TEXT: Final = (
    "ResNet-8 on Fashion-MNIST, 8 Lloyd levels a layer, differential pairs (target `rram`), mode "
    "`ideal`, all 10,000 test images; faults half at G_min, half at G_max. Gap: float minus "
    "program [point]; *change*: of top-1, against the first row, map by map, positive is better."
)
TITLES: Final = {
    "alone": (
        "Each alone, added to the nearest reachable value",
        "Descent and targets need error feedback and come with it.",
    ),
    "left out": ("Each left out of all", ""),
    "cells": ("What healthy cells may hold", "With everything else on."),
}


def write(store: Store) -> None:
    """Write the page."""
    header = ["recompiled with"]
    for said in FAULTS:
        header += [f"{said}: gap", "change"]
    parts = [Part(*TITLES[name], header, rows(store, ways)) for name, ways in TABLES.items()]
    base = networks.float_score(networks.RESNET8)
    whole = of(store.scores(cells(ALL, FAULTS["10% of cells"]), "ideal"))
    told = f"Float: {base:.2f} %; all ingredients at 10 %: {cell(whole)} %."
    text = f"{TEXT} {told} {counted(store, jobs())}"
    title = "Faults: what each ingredient of recompiling adds"
    write_page("faults-ingredients", title, "ingredients", text, parts)

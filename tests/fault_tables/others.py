"""Networks that arrived as ONNX, and ones that are no convolutions: do methods work there too?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tests.fault_tables import networks
from tests.fault_tables.jobs import Base, Faults, Job, Store
from tests.fault_tables.methods import gap
from tests.fault_tables.pages import counted, gap_cell, write_page
from tests.fault_tables.ways import WAYS
from tests.job_store.pages import Part
from tests.training_tables.stats import cell, of

RATES: Final = (0.05, 0.1, 0.2)
SHOWN: Final = ("ignore", "nearest", "all")
SEEDS: Final = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Other:
    """One network.

    Attributes:
        said: What it is.
        levels: Of a column.
        options: Of :func:`cimc.compile`, besides.
        more: Whether more of its metric is better.
    """

    said: str
    levels: int
    options: dict[str, Any]
    more: bool = True


OTHERS: Final = {
    "mnist-conv": Other("mnist-conv (ONNX): convolutions", 8, {}),
    "g2p": Other("g2p (GRU encoder and decoder)", 16, {}),
    "gpt": Other("GPT (2 blocks, characters)", 16, {}, more=False),
    # As in sample 03: its forty convolutions are not for 16 levels without training.
    "ppocr-rec": Other(
        "PP-OCRv4 recognition (ONNX): transformer and head; convolutions digital", 16,
        {"digital": ["conv2d_*"]},
    ),
}  # fmt: skip


def cells(name: str, way: str, rate: float) -> list[Job]:
    """Return the recompilations of one figure, one a map."""
    other = OTHERS[name]
    base = Base(name, "rram", {"levels": other.levels, **other.options})
    return WAYS[way].jobs(base, Faults(rate), SEEDS, ("ideal",))


def jobs() -> list[Job]:
    """Return all, first maps first."""
    found = [
        job
        for name in OTHERS
        for rate in (*RATES, 0.0)
        for way in SHOWN
        for job in cells(name, way, rate)
    ]
    order = list(OTHERS)
    return sorted(found, key=lambda job: (job.seed, order.index(job.base.network)))


TEXT: Final = (
    "Target `rram`, Lloyd levels a column (8 or 16, see the table), mode `ideal`, faults half at "
    "G_min, half at G_max, no training. Columns are those of [faults-methods](faults-methods.md). "
    "In brackets the gap to the float network, positive: worse."
)


def write(store: Store) -> None:
    """Write the page."""
    parts = []
    for name, other in OTHERS.items():
        rows = []
        for rate in (0.0, *RATES):
            row = [f"{rate:.0%}"]
            for way in SHOWN:
                mine = cells(name, way, rate)
                value = gap(store, mine, "ideal")
                row += [cell(of(store.scores(mine, "ideal"))), gap_cell(value)]
            rows.append(row)
        network = networks.load(name)
        text = f"{network.metric}; {other.levels} levels; float: {networks.float_score(name):.2f}."
        text += "" if other.more else " Less is better, so gaps are negative."
        header = ["cells stuck"]
        for way in SHOWN:
            header += [WAYS[way].said, "gap"]
        parts.append(Part(other.said, text, header, rows))
    text = f"{TEXT} {counted(store, jobs())}"
    write_page("faults-networks", "Faults: other networks", "networks", text, parts, maps=SEEDS)

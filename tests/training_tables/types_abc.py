"""[GDQ §4.4] types A, B and C: simulated and measured weights, trained with noise and without."""

from __future__ import annotations

from tests.training_tables import networks
from tests.training_tables.gdq_jobs import METHODS, Method, cells
from tests.training_tables.jobs import Job, Store
from tests.training_tables.pages import Part, constant, counted, write_page
from tests.training_tables.stats import Scores, cell, difference, gap_cell, of

NETWORKS = ("resnet18", "resnet20", "vgglike")
LEVELS = (4, 8)
#: Method of training and evaluation of each type.
TYPES: dict[str, tuple[Method, str, str]] = {
    "A": ("noisy", "noise-2", "simulated"),
    "B": ("noisy", "tester", "measured"),
    "C": ("plain", "tester", "measured"),
}

TEXT = """\
[GDQ] section 4.4, Fig. 4(b). *Simulated* weights: programming noise of the target, normal, of 2 %
of the largest weight for a pair. *Measured* weights: conductances of every cell as an independent
tester reads them back (tests/end_to_end/tester.py): deviations gamma distributed, skewness 1.41,
with the standard deviation of the paper's devices, 0.32 µS for a pair. The executor computes with
those conductances in place of modelled ones. The fine-tunings are those of
[gdq-classification](gdq-classification.md); all layers are quantized."""


def jobs() -> list[Job]:
    """Return all fine-tunings of the page."""
    found: list[Job] = []
    for network in NETWORKS:
        for levels in LEVELS:
            for method in ("noisy", "plain"):
                found += cells(network, levels, method)
    return found


def row(store: Store, network: str, levels: int) -> list[str]:
    """Return the gaps of the three types, and their differences [point]."""
    scores: dict[str, Scores] = {}
    for name, (method, evaluation, _) in TYPES.items():
        scores[name] = store.scores(cells(network, levels, method), evaluation)
    base = networks.float_score(network)
    gaps = [difference(constant(base, s), s) for s in scores.values()]
    return [
        network,
        str(levels),
        f"{base:.2f}",
        cell(of(scores["A"])),
        *map(gap_cell, gaps),
        gap_cell(difference(scores["B"], scores["A"])),
        gap_cell(difference(scores["B"], scores["C"])),
    ]


def write(store: Store) -> None:
    """Write the page."""
    header = ["network", "levels", "float", "A: top-1"]
    header += [
        f"{name}: gap ({weights}, {METHODS[method]})"
        for name, (method, _, weights) in TYPES.items()
    ]
    header += ["B - A [point]", "B - C [point]"]
    rows = [row(store, network, levels) for network in NETWORKS for levels in LEVELS]
    text = f"{TEXT} {counted(store, jobs())}"
    title = "Simulated and measured weights [GDQ §4.4]"
    write_page("gdq-types", title, "types", text, [Part("", "", header, rows)])

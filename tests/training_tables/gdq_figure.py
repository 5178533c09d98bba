"""[GDQ] Figure 3: gap to float against noise, as a table and a picture."""

from __future__ import annotations

from tests.training_tables import networks
from tests.training_tables.gdq_jobs import CLASSIFIERS, LEVELS, METHODS, NOISES, Method, cells
from tests.training_tables.jobs import Store
from tests.training_tables.pages import Part, constant
from tests.training_tables.stats import Estimate, difference, gap_cell
from tests.zoo.cache import ROOT

PICTURE = ROOT / "docs" / "pictures" / "gdq-noise.svg"
TRAINED: tuple[Method, ...] = ("plain", "noisy")
EVALUATIONS = {0: "clean", **{percent: f"noise-{percent}" for percent in NOISES}}


def gaps(store: Store, network: str, levels: int, method: Method) -> list[Estimate | None]:
    """Return float minus quantized at each noise [point]."""
    found = cells(network, levels, method)
    base = networks.float_score(network)
    every = [store.scores(found, name) for name in EVALUATIONS.values()]
    return [difference(constant(base, scores), scores) for scores in every]


def draw(store: Store) -> None:
    """Write the picture: a panel a network, a line a number of levels and method."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "cimc"
    figure, axes = plt.subplots(1, len(CLASSIFIERS), figsize=(11, 3.6), sharey=True)
    for axis, network in zip(axes, CLASSIFIERS, strict=True):
        for k, levels in enumerate(LEVELS):
            for method, style in zip(TRAINED, ("--", "-"), strict=True):
                found = gaps(store, network, levels, method)
                points = [
                    (x, e.mean, e.half or 0.0)
                    for x, e in zip(EVALUATIONS, found, strict=True)
                    if e is not None
                ]
                if points:
                    x, y, half = zip(*points, strict=True)
                    label = f"{levels} levels, {METHODS[method].removeprefix('trained ')}"
                    axis.errorbar(x, y, half, ls=style, color=f"C{k}", capsize=2, label=label)
        axis.axhline(0, color="0.7", lw=0.8)
        axis.set(title=network, xlabel="noise [% of the largest weight]")
    axes[0].set_ylabel("gap to float [point]")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)


def part(store: Store) -> Part:
    """Draw the picture; return the section with its table."""
    draw(store)
    rows = [
        [
            network,
            str(levels),
            METHODS[method],
            *map(gap_cell, gaps(store, network, levels, method)),
        ]
        for network in CLASSIFIERS
        for levels in LEVELS
        for method in TRAINED
    ]
    header = ["network", "levels", "method", "no noise", *(f"{p} % noise" for p in NOISES)]
    after = "![Gap to float against noise](../pictures/gdq-noise.svg)"
    text = "Gap to float in points; bars in the picture are 95 % intervals over seeds."
    return Part("Gap against noise [GDQ Figure 3]", text, header, rows, after)

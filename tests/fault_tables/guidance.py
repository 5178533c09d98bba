"""Which method is enough, by rate of faults and levels: two pictures and a table."""

from __future__ import annotations

from typing import Any, Final

from tests.fault_tables.jobs import Mode, Store
from tests.fault_tables.methods import RATES, SECTIONS, cells, gap
from tests.fault_tables.pages import write_page
from tests.fault_tables.ways import WAYS
from tests.job_store.pages import Part
from tests.zoo.cache import ROOT

PICTURES: Final = ROOT / "docs" / "pictures"
#: From cheap to dear, and what the table calls them.
CHOICES: Final = {"nearest": "nearest", "all": "feedback", "training": "training"}
#: Losses that a user may accept [point].
BUDGETS: Final = (0.5, 1.0, 2.0)
#: Lines of the first picture; sections of the second.
LINES: Final = ("ignore", "nearest", "rows-error-feedback", "all", "training")
LEVELS: Final = ("4", "8", "16", "2-bit", "3-bit", "4-bit")
SHOWN: Final = (0.01, *RATES[1:])


def mode_of(section: str) -> Mode:
    """Return what figures of a section are of: bit-serial reads of many chips take too long."""
    return "ideal" if SECTIONS[section].base.target == "otp" else "chip"


def choice(store: Store, section: str, rate: float, budget: float) -> str:
    """Return the cheapest method whose gap is at most a budget, its whole interval; or none."""
    if rate not in SECTIONS[section].rates:
        return ""
    unknown = False
    for way, said in CHOICES.items():
        if way not in SECTIONS[section].ways:
            continue
        mode = mode_of(section)
        value = gap(store, cells(section, way, rate, mode), mode)
        # One map that is good says nothing of others; one that is bad is enough.
        if value is None or (value.half is None and value.mean <= budget):
            unknown = True
        elif value.mean + (value.half or 0.0) <= budget:
            return f"{said} ({value.mean:.1f})" + (", or less" if unknown else "")
    return "not known yet" if unknown else "none"


def curve(store: Store, section: str, way: str, mode: Mode) -> list[tuple[float, float, float]]:
    """Return rate [%], gap and half the width of its interval [point], where there are any."""
    found = []
    for rate in SECTIONS[section].rates:
        value = gap(store, cells(section, way, rate, mode), mode)
        if value is not None:
            found.append((100 * rate, value.mean, value.half or 0.0))
    return found


def _draw(axis: Any, points: list[tuple[float, float, float]], label: str, color: str) -> None:
    if points:
        x, y, half = zip(*points, strict=True)
        axis.errorbar(x, y, half, color=color, marker="o", ms=3, capsize=2, label=label)


def draw(store: Store) -> None:
    """Write the pictures."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "cimc"
    found: tuple[tuple[str, str, Mode, float, list[tuple[str, str, str]]], ...] = (
        ("faults-methods", "8 levels a layer, pairs; converters and noise", "chip", 100.0,
         [("8", way, WAYS[way].said) for way in LINES]),
        ("faults-levels", "all methods, no training; no converters, no noise", "ideal", 3.0,
         [(s, "all", SECTIONS[s].title.lower()) for s in LEVELS]),
    )  # fmt: skip
    for name, title, mode, top, lines in found:
        figure, axis = plt.subplots(figsize=(7, 4.2))
        for k, (section, way, label) in enumerate(lines):
            _draw(axis, curve(store, section, way, mode), label, f"C{k}")
        for budget in BUDGETS:
            axis.axhline(budget, color="0.8", lw=0.8, zorder=0)
        axis.set(
            title=title, xlabel="stuck cells [%]", ylabel="gap to float [point of top-1]",
            yscale="symlog", ylim=(-0.2, top),
        )  # fmt: skip
        ticks = [tick for tick in (0, 0.5, 1, 2, 3, 5, 10, 20, 50) if tick <= top]
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.legend(fontsize=8)
        figure.tight_layout()
        figure.savefig(PICTURES / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


#: The guide includes what follows it.
MARK: Final = "<!-- the tables -->"
TEXT: Final = (
    "The cheapest method whose gap to the float network stays within what a user accepts, with "
    "its mean gap in brackets [point of top-1]: `nearest` and `feedback` are the two methods of "
    "`cimc recompile`, `training` is feedback and at most 3 epochs of fault-aware training, "
    "`none` means that not even training was enough: discard the chip, or use it for another "
    "network. A method counts when the whole 95 % interval over maps is within. Chips have the "
    "target's converters and noise, unless said otherwise."
)


def titled(section: str) -> str:
    """Return what the table calls a section."""
    exact = " (without converters and noise)" if mode_of(section) == "ideal" else ""
    return f"{SECTIONS[section].title}{exact}"


def write(store: Store) -> None:
    """Write pictures and page."""
    draw(store)
    parts = [Part("", "", (), (), after=MARK), Part("", TEXT, (), ())]
    for budget in BUDGETS:
        rows = [
            [titled(name), *(choice(store, name, rate, budget) for rate in SHOWN)]
            for name in SECTIONS
        ]
        header = ["cells and levels", *(f"{rate:.0%} stuck" for rate in SHOWN)]
        parts.append(Part(f"At most {budget:g} point{'s' * (budget > 1)} lost", "", header, rows))
    title = "Faults: which method is enough"
    write_page("faults-which-method", title, "methods guidance", "", parts, reading=False)

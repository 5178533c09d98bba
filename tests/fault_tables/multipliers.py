"""[NM Tables 4, 5, Fig. 5, 6]: N multipliers with stuck bits, and with bits that vary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tests.fault_tables import networks
from tests.fault_tables.jobs import Base, Faults, Job, Store
from tests.fault_tables.methods import gap
from tests.fault_tables.pages import counted, gap_cell, write_page
from tests.fault_tables.ways import Way
from tests.job_store.pages import Part
from tests.training_tables import nm
from tests.training_tables.pages import against
from tests.training_tables.stats import Estimate, cell, difference, of

NETWORKS: Final = {"vgg8": "VGG-8", "resnet18": "ResNet-18"}
BITS: Final = (3, 4)
#: Those whose start is trained eight times as long and from labels: a short training loses more
#: than the faults do.
LONGER: Final = (3,)
RATES: Final = (0.1, 0.2, 0.3)
SIGMAS: Final = (0.05, 0.1, 0.2, 0.4)
#: Trainings of each cell.
SEEDS: Final = (0, 1, 2)
#: Largest gap to float asked for [point].
FAULT_GOALS: Final = {0.2: 1.0}
VARIABILITY_GOALS: Final = {0.2: 1.5, 0.4: 2.2}

EPOCHS: Final = 2
RECIPE: Final[dict[str, Any]] = {**nm.RECIPE, "levels": "multipliers", "epochs": EPOCHS}
#: What is told of faults and of measured variation, see :class:`cimc.training.recipe.Recipe`.
NEAREST_VALID: Final[dict[str, Any]] = {"faults": {"method": "nearest-valid", "snap_every": 1}}
VALIDITY: Final[dict[str, Any]] = {"faults": {"method": "validity", "snap_every": 1}}
UNAWARE: Final[dict[str, Any]] = {"variability": "ignore"}
AWARE: Final[dict[str, Any]] = {"variability": "measured"}


def recipe(bits: int, given: dict[str, Any]) -> dict[str, Any]:
    """Return the section ``training`` of a recipe."""
    return {**RECIPE, "activation_bits": bits, **given}


def base(network: str, bits: int) -> Base:
    """Return the quantized network, trained as in [NM] and as in the tables without faults."""
    options = {"quantizer": "n-multiplier", "per_column": False}
    longer = bits in LONGER
    training = recipe(bits, nm.LONGER if longer else {})
    samples = nm.LONGER_SAMPLES if longer else nm.SAMPLES
    return Base(network, "otp", options, {"slices.count": bits}, training, samples)


def fault_ways(bits: int) -> dict[str, Way]:
    """Return what is done about stuck bits."""
    return {
        "ignore": Way("ignore the faults", "ignore"),
        "nearest": Way("nearest valid level", "nearest"),
        "nearest-trained": Way(
            "nearest valid level, retrained", "nearest", {}, recipe(bits, NEAREST_VALID),
            nm.SAMPLES,
        ),
        "all": Way("remapped, no training", "feedback"),
        "trained": Way(
            "remapped, validity loss", "feedback", {}, recipe(bits, VALIDITY), nm.SAMPLES
        ),
    }  # fmt: skip


def variability_ways(bits: int) -> dict[str, Way]:
    """Return what is done about bits that vary."""
    return {
        "ignore": Way("ignore the variation", "ignore"),
        "all": Way("remapped, no training", "feedback"),
        "chip-in-loop": Way(
            "retrained, levels nominal", "nearest", {}, recipe(bits, UNAWARE), nm.SAMPLES
        ),
        "trained": Way(
            "remapped, variability-aware loss", "feedback", {}, recipe(bits, AWARE), nm.SAMPLES
        ),
    }


def cells(network: str, bits: int, way: Way, faults: Faults) -> list[Job]:
    """Return the recompilations of one figure, one a map."""
    return way.jobs(base(network, bits), faults, SEEDS, ("inputs",))


def _jobs(networks: Sequence[str], bits: Sequence[int], faults: Sequence[Faults]) -> list[Job]:
    """Return first those without training, then maps one after the other."""
    found = [
        job
        for network in networks
        for count in bits
        for drawn in faults
        for way in (variability_ways if drawn.sigma_lrs else fault_ways)(count).values()
        for job in cells(network, count, way, drawn)
    ]
    found.sort(key=lambda job: (job.seed, job.training is not None))
    return list({job.key: job for job in found}.values())


def fault_jobs() -> list[Job]:
    """Return those with stuck bits: the VGG-type network first, 20 % first."""
    rates = [Faults(rate) for rate in (0.2, 0.1, 0.3, 0.0)]
    return [j for n in NETWORKS for j in _jobs([n], BITS, rates)]


def variability_jobs() -> list[Job]:
    """Return those with bits that vary: LRS alone as in the paper, then both states."""
    lrs = [Faults(sigma_lrs=sigma) for sigma in (0.2, 0.4, 0.1, 0.05)]
    both = [Faults(sigma_lrs=sigma, sigma_hrs=sigma) for sigma in VARIABILITY_GOALS]
    return [*_jobs(["resnet18"], (4,), lrs), *_jobs(["resnet18"], (4,), both)]


def _row(
    store: Store, network: str, bits: int, said: str, faults: Faults, ways: dict[str, Way],
    goal: float | None, baseline: str,
) -> list[str]:  # fmt: skip
    gaps = {n: gap(store, cells(network, bits, w, faults), "inputs") for n, w in ways.items()}
    scores = {n: store.scores(cells(network, bits, w, faults), "inputs") for n, w in ways.items()}
    ahead = difference(scores["trained"], scores[baseline])
    return [
        f"{bits}", said, *map(gap_cell, gaps.values()), cell(of(scores["trained"])),
        gap_cell(ahead), "" if ahead is None else _beaten(ahead),
        "" if goal is None else f"≤ {goal:g}: {against(goal, gaps['trained']) or 'missing'}",
    ]  # fmt: skip


def _beaten(ahead: Estimate) -> str:
    return {"above": "better, surely", "below": "worse, surely"}.get(
        ahead.verdict, "better" if ahead.mean > 0 else "not better"
    )


TEXT: Final = (
    "Networks of reduced width on Fashion-MNIST, N multipliers a layer (target `otp`, a binary "
    "cell a bit), trained with quantization as in [n-multipliers](n-multipliers.md), activations "
    "of as many bits; that training is short ({epochs} epochs of {samples:,} images, by "
    "distillation) at 4 bits and long at 3 ({longer} epochs of {longer_samples:,} images, from "
    "labels); all 10,000 test images, with quantized activations and nothing else but the faults. "
    "Gap: float minus program [point]. All that train for a chip have {epochs} epochs of "
    "{samples:,} images after the same start, the same settings and the same maps; *ahead* is "
    "ours less {other}, map by map. What the start lost to quantized weights and activations is "
    "in every figure: the row without faults says how much."
)


def told(other: str) -> str:
    """Return what pages say first.

    Args:
        other: Than which ours is ahead.
    """
    return TEXT.format(
        epochs=EPOCHS, samples=nm.SAMPLES, longer=nm.LONGER["epochs"],
        longer_samples=nm.LONGER_SAMPLES, other=other,
    )  # fmt: skip


def write_faults(store: Store) -> None:
    """Write the page on stuck bits."""
    parts = []
    for network, said in NETWORKS.items():
        rows = [
            _row(store, network, bits, f"{rate:.0%}", Faults(rate), fault_ways(bits),
                 FAULT_GOALS.get(rate), "nearest-trained")
            for bits in BITS
            for rate in (0.0, *RATES)
        ]  # fmt: skip
        header = ["bits", "stuck bits", *(f"{w.said}: gap" for w in fault_ways(4).values())]
        header += ["ours: top-1", "ahead", "", "goal of the gap"]
        text = f"Float: {networks.float_score(network):.2f} %."
        parts.append(Part(said, text, header, rows))
    text = told("nearest valid level, retrained")
    text += (
        " *Nearest valid level, retrained* replaces weights by their nearest valid levels after "
        "every epoch (Hanif & Shafique 2023, as [NM §3.6] emulates it); ours is the program "
        "remapped without training, then trained with the validity-masked loss [NM Eq. 11]."
    )
    text += f" {counted(store, fault_jobs())}"
    title = "Faults: N multipliers with stuck bits [NM Table 4, Fig. 5, Fig. 6a]"
    write_page("faults-n-multipliers", title, "nm-faults", text, parts, maps=SEEDS)


def write_variability(store: Store) -> None:
    """Write the page on variation."""
    drawn = {f"{sigma:g}, LRS": Faults(sigma_lrs=sigma) for sigma in SIGMAS}
    drawn |= {f"{s:g}, both": Faults(sigma_lrs=s, sigma_hrs=s) for s in VARIABILITY_GOALS}
    ways = variability_ways(4)
    rows = [
        _row(store, "resnet18", 4, said, faults, ways, VARIABILITY_GOALS.get(faults.sigma_lrs),
             "chip-in-loop")
        for said, faults in drawn.items()
    ]  # fmt: skip
    header = ["bits", "sigma / mu", *(f"{w.said}: gap" for w in variability_ways(4).values())]
    header += ["ours: top-1", "ahead", "", "goal of the gap"]
    text = told("training with nominal levels")
    text += (
        f" Float: {networks.float_score('resnet18'):.2f} %. {counted(store, variability_jobs())}"
    )
    title = "Faults: N multipliers with bits that vary [NM Table 5, Fig. 6b]"
    write_page(
        "faults-variability",
        title,
        "nm-variability",
        text,
        [Part("", "", header, rows)],
        maps=SEEDS,
    )

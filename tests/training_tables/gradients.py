"""[STE] III-B: straight-through against true gradient, layer by layer, at several noise levels.

``python -m tests.training_tables.gradients --write`` works out what is missing, and writes
``docs/results/gradients.md``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import numpy as np
import torch

from cimc.training.drawn import training_chip
from cimc.training.gradient_study import gradient_study
from cimc.training.recipe import Recipe
from tests.training_tables.studied import PICTURES, chip, compiled, kept, loss_of, samples, there
from tests.zoo.results import table_row, write_table

NETWORKS: Final = ("resnet8", "vgg8")
SEEDS: Final = (0, 1, 2)
CHIPS: Final = 24
BATCH: Final = 32
#: Standard deviation of ln G of writes alone, converters there [-].
SIGMAS: Final = (0.05, 0.1, 0.2, 0.3, 0.4)
#: Levels of noise of the whole chip.
LEVELS: Final = (1, 2, 3)
WRITES: Final = ("dac", "adc", "programming")
#: Cases by what they are called: the level, and the non-idealities (None: all).
CASES: Final[dict[str, tuple[float, tuple[str, ...] | None]]] = {
    **{f"writes {s:g}": (10 * s, WRITES) for s in SIGMAS},
    **{f"level {n}": (n, None) for n in LEVELS},
}
COMMAND: Final = "python -m tests.training_tables.gradients --write"

Figures = dict[str, dict[str, Any]]

NOTE = """\
Chip: tests/training_tables/ste.yaml (8-bit converters, sinh I-V curve, read noise, one day of
drift, 310 K). A level is 0.1 in the standard deviation of ln G of a write. *writes S*: nothing but
writes with standard deviation S and the converters; *level N*: the whole chip. Networks trained in
float, 16 Lloyd levels a layer, cross-entropy of {batch} training images, {chips} chips; a seed is
another batch and other chips; figures are means over {seeds} seeds ± their standard deviation.
Converters and levels count as straight lines in both gradients. Layers by depth.

`g~` is the straight-through gradient on the noisy forward pass of a chip, as training uses it,
`g*` the one through the whole device model on the same chip, `delta = g* - g~`.

What it says: on the chip's own forward pass the straight-through gradient keeps the direction of
the true one; Eq. 12 predicts the cosine well, and too low where delta has a part along `g~`
(lognormal writes and I-V curves are biased, Eq. 14 does not hold for them). The further from the
output, the more disturbed weights come between, and the lower the cosine. But `g~` has about the
variance of `g*`: that it has none (Eq. 13) holds for the gradient of the clean network alone, and
that one loses the direction of the true gradient as noise grows. What matters is the device in the
forward pass, not the constant gradient."""

SUMMARY: Final[dict[str, Callable[[dict[str, Any]], float]]] = {
    "cosine, one chip": lambda s: s["device"]["cosine_chip"],
    "Eq. 12": lambda s: s["device"]["predicted"],
    "cosine, mean of chips": lambda s: s["device"]["cosine"],
    "bias": lambda s: s["device"]["bias"],
    "magnitude, Eq. 16": lambda s: s["device"]["magnitude"],
    "variance of g*, Eq. 13": lambda s: s["variance"],
    "variance of g~": lambda s: s["variance_straight_through"],
    "clean g~: cosine, one chip": lambda s: s["clean"]["cosine_chip"],
    "clean g~: cosine, mean of chips": lambda s: s["clean"]["cosine"],
}


def study(network: str, case: str, seed: int) -> Figures:
    """Return the figures of every layer, by name of its weight."""
    level, effects = CASES[case]
    inputs, labels = samples(network, BATCH * len(SEEDS))
    part = slice(seed * BATCH, (seed + 1) * BATCH)
    found = gradient_study(
        compiled(network), chip(level), Recipe(effects=effects), [inputs[part]],
        partial(loss_of, labels=labels[part]),
        [training_chip(seed, k) for k in range(CHIPS)],
    )  # fmt: skip
    return {name: asdict(layer) for name, layer in found.items()}


def figures(network: str, case: str) -> list[Figures]:
    """Return those of every seed, found before or now."""
    return [
        kept("gradients", _name(network, case, seed), partial(study, network, case, seed))
        for seed in SEEDS
    ]


def _name(network: str, case: str, seed: int) -> str:
    return f"{network}-{case}-{seed}".replace(" ", "-")


def complete() -> list[str]:
    """Return the networks of which everything is there."""
    return [
        network
        for network in NETWORKS
        if all(there("gradients", _name(network, c, s)) for c in CASES for s in SEEDS)
    ]


def shown(values: Sequence[float]) -> str:
    """Return mean and standard deviation over seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def summary(network: str) -> list[list[str]]:
    """Return a row a case, figures averaged over layers."""
    rows = []
    for case in CASES:
        seeds = figures(network, case)
        rows.append([
            network, case,
            *(shown([float(np.mean([get(s) for s in one.values()])) for one in seeds])
              for get in SUMMARY.values()),
        ])  # fmt: skip
    return rows


def called(name: str) -> str:
    """Return what a layer is called in tables."""
    return name.removesuffix("_folded").removesuffix("_weight").replace("_", " ")


def layers(network: str) -> list[list[str]]:
    """Return a row a layer: the cosine on one chip in every case."""
    names = list(figures(network, next(iter(CASES)))[0])
    return [
        [
            network,
            called(name),
            *(
                shown([one[name]["device"]["cosine_chip"] for one in figures(network, case)])
                for case in CASES
            ),
        ]
        for name in names
    ]


def draw(networks: Sequence[str]) -> None:
    """Write the picture: a panel a network, a line a layer; below, what Eq. 12 predicts."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "cimc"
    figure, axes = plt.subplots(
        1, len(networks), figsize=(5 * len(networks), 4.2), sharey=True, squeeze=False
    )
    cases = [f"writes {s:g}" for s in SIGMAS]
    for axis, network in zip(axes[0], networks, strict=True):
        every = {case: figures(network, case) for case in cases}
        names = list(every[cases[0]][0])
        colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(names)))
        for name, colour in zip(names, colours, strict=True):
            lines = {
                key: [np.mean([one[name]["device"][key] for one in every[c]]) for c in cases]
                for key in ("cosine_chip", "predicted")
            }
            axis.plot(SIGMAS, lines["cosine_chip"], "-o", ms=3, color=colour, label=called(name))
            axis.plot(SIGMAS, lines["predicted"], ":", color=colour)
        alone = np.linspace(0, SIGMAS[-1], 50)
        axis.plot(alone, np.exp(-(alone**2) / 2), "k--", lw=1, label="one layer alone")
        axis.set(title=network, xlabel="standard deviation of ln G of writes")
        axis.set_ylim(0, 1.02)
        axis.legend(fontsize=6, loc="lower left")
    axes[0, 0].set_ylabel("cosine of straight-through and true gradient")
    figure.tight_layout()
    figure.savefig(PICTURES / "gradients.svg", metadata={"Date": None})
    plt.close(figure)


def write() -> None:
    """Write the page and its picture."""
    networks = complete()
    draw(networks)
    rows = [row for network in networks for row in layers(network)]
    means = [row for network in networks for row in summary(network)]
    note = NOTE.format(batch=BATCH, chips=CHIPS, seeds=len(SEEDS))
    picture = "![Cosine per layer against noise](../pictures/gradients.svg)\n\nSolid: measured on "
    picture += "one chip (Eq. 10), mean over chips; dotted: Eq. 12; dashed: exp(-S²/2), the "
    picture += "closed form of a single layer behind which nothing is disturbed."
    averaged = [
        "Averages over layers; *bias* is the norm of the mean delta over that of the mean g~ "
        f"(Eq. 14; {CHIPS} chips leave a share of the variance in it), variances are shares of "
        "the mean's square; *clean g~* is the gradient of the network without device, a constant "
        "as the paper has it.", "",
        table_row(["network", "case", *SUMMARY]),
        table_row(["---"] * (2 + len(SUMMARY))), *map(table_row, means),
    ]  # fmt: skip
    note = "\n".join([note, "", picture, "", *averaged, "", "Cosine on one chip, by layer:"])
    write_table(
        "gradients", "Straight-through and true gradient [STE III-B]", COMMAND,
        ["network", "layer", *CASES], rows, note,
    )  # fmt: skip


def main() -> None:
    """Work out what is missing; write the page."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--write", action="store_true", help="write docs/results/gradients.md")
    parser.add_argument("--there", action="store_true", help="of what is there")
    given = parser.parse_args()
    os.nice(5)
    torch.set_num_threads(1)
    for network in () if given.there else NETWORKS:
        for case in CASES:
            figures(network, case)
            sys.stdout.write(f"{network}: {case}\n")
            sys.stdout.flush()
    if given.write:
        write()


if __name__ == "__main__":
    main()

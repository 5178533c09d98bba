"""[NM] Tables 1 and 2: fixed levels, a learned step, N multipliers, at W4/A4 and W3/A3."""

from __future__ import annotations

from typing import Any, Final

from tests.training_tables import networks
from tests.training_tables.gdq_jobs import control
from tests.training_tables.jobs import SEEDS, Evaluation, Job, Store
from tests.training_tables.pages import Part, against, constant, counted, write_page
from tests.training_tables.stats import Estimate, cell, difference, gap_cell, of

NETWORKS: Final = ("resnet18",)
BITS: Final = (4, 3)
#: Quantizer that starts, and what the recipe learns of its levels.
VARIANTS: Final = {
    "fixed": ("uniform", "fixed levels"),
    "step": ("uniform", "learned step"),
    "multipliers": ("n-multiplier", "N multipliers"),
}
#: Least advantage over float that the paper has [point].
GOALS: Final = {4: 0.0, 3: -0.42}
RECIPE: Final[dict[str, Any]] = {
    "epochs": 2,
    "batch": 64,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "loss": "distillation",
    "schedule": "cosine",
    "noise": "none",
    "quantization": "regularized",
    "first_last_bits": 8,
    "validation": 0.0,
}
SAMPLES: Final = 10_000
#: Of longer training, which is from labels.
LONGER: Final[dict[str, Any]] = {"epochs": 4, "loss": "cross-entropy"}
LONGER_SAMPLES: Final = 40_000
EVALUATIONS: Final = (
    # [NM] has quantized weights and activations and nothing else.  Without ADCs inputs in one
    # pulse are the same as bit by bit, and faster.
    Evaluation("clean", {"read.drive": "parallel"}, effects=("dac",)),
    Evaluation("otp", samples=2000),
)

TEXT = """\
[NM] Tables 1 and 2 on Fashion-MNIST at reduced width. Levels are ⟨r, S⟩ + c [NM Eq. 2]: fixed
(as fitted to the float weights), with a learned step (Eq. 3) or learned multipliers (Eq. 4), one
set a layer, trained with the quantization loss of Eq. 6 (lambda 100 to 2000). Activations: LSQ of
as many bits, 8 before the first and the last layer, whose weights have as many bits as all.
Target: `otp` with a binary cell a bit and digital multipliers. First columns: only its DACs are
on, so that quantized weights and activations are all there is; last columns: the same program on
everything the target describes, bit-serial inputs, 8-bit ADCs, 5 % spread of each state, on 2,000
test images over {chips} chips (trained without any of that; one seed).
Training: {samples:,} of 54,000 training images, {epochs} epochs, Adam, learning rate
{rate:g} to 0; the loss is distillation from the float network. Differences in points, positive:
better."""


def job(
    network: str,
    bits: int,
    variant: str | None,
    seed: int,
    *,
    pinned: bool = False,
    longer: bool = False,
) -> Job:
    """Return one fine-tuning; variant None: N multipliers fitted, not trained.

    Args:
        network: Name.
        bits: Of weights and activations.
        variant: Of the levels.
        seed: Of training and chips.
        pinned: First and last layer digital, in full precision.
        longer: Eight times as long, and from labels.
    """
    quantizer = VARIANTS[variant or "multipliers"][0]
    options: dict[str, Any] = {"quantizer": quantizer, "per_column": False}
    if pinned:
        options["digital"] = "first-last"
    training = None
    changes: dict[str, object] = {"slices.count": bits}
    if variant is not None:
        training = {**RECIPE, "levels": variant, "activation_bits": bits}
        if longer:
            training |= LONGER
        if pinned:
            training["first_last_bits"] = 0  # they have no converters
    else:
        changes["read.dac_bits"] = bits
    shown = EVALUATIONS if seed == SEEDS[0] else EVALUATIONS[:1]
    samples = LONGER_SAMPLES if longer else SAMPLES
    return Job(network, "otp", changes, options, training, samples, shown, seed=seed)


def cells(network: str, bits: int, variant: str | None, **given: bool) -> list[Job]:
    """Return the fine-tunings of one cell, one a seed."""
    seeds = SEEDS[:1] if variant is None else SEEDS  # without training there is nothing to draw
    return [job(network, bits, variant, seed, **given) for seed in seeds]


def entries() -> list[tuple[str, int, str | None, bool]]:
    """Return network, bits, variant and whether first and last are pinned, of each row."""
    return [
        (network, bits, variant, pinned)
        for network in NETWORKS
        for bits in BITS
        for pinned in ((False, True) if network == "resnet18" else (False,))
        for variant in (None, *VARIANTS)
    ]


def main_jobs() -> list[Job]:
    """Return the fine-tunings with every layer quantized."""
    return [job for n, b, v, pinned in entries() if not pinned for job in cells(n, b, v)]


def more_jobs() -> list[Job]:
    """Return those with the first and the last layer in full precision."""
    return [job for n, b, v, pinned in entries() if pinned for job in cells(n, b, v, pinned=True)]


def longer_jobs() -> list[Job]:
    """Return those of longer training, N multipliers first."""
    variants = sorted(VARIANTS, key=lambda v: v != "multipliers")
    return [
        one
        for variant in variants
        for network in NETWORKS
        for bits in BITS
        for one in cells(network, bits, variant, longer=True)
    ]


def row(
    store: Store, network: str, bits: int, variant: str | None, pinned: bool, longer: bool = False
) -> list[str]:
    """Return one row."""
    found = cells(network, bits, variant, pinned=pinned, longer=longer)
    best = cells(network, bits, "multipliers", pinned=pinned, longer=longer)
    base = networks.float_score(network)
    clean, chips = store.scores(found, "clean"), store.scores(found, "otp")
    ahead = difference(clean, constant(base, clean))
    said = "N multipliers, fitted, not trained" if variant is None else VARIANTS[variant][1]
    less = ""
    if variant != "multipliers":
        less = gap_cell(difference(store.scores(best[: len(found)], "clean"), clean))
    return [
        f"W{bits}/A{bits}",
        "full precision" if pinned else "quantized",
        said,
        cell(of(clean)),
        gap_cell(ahead),
        less,
        against(-GOALS[bits], _negative(ahead)) if variant == "multipliers" else "",
        cell(of(chips)),
        gap_cell(difference(chips, constant(base, chips))),
    ]


def _negative(value: Estimate | None) -> Estimate | None:
    return None if value is None else Estimate(-value.mean, value.sd, value.half, value.count)


def write(store: Store) -> None:
    """Write the page."""
    header = ["bits", "first and last layer", "levels", "top-1", "against float",
              "N multipliers ahead by", "goal (W4: 0, W3: -0.42)", "on chips: top-1",
              "against float"]  # fmt: skip
    parts = []
    for network in NETWORKS:
        rows = [row(store, n, b, v, p) for n, b, v, p in entries() if n == network]
        text = f"Float: {networks.float_score(network):.2f} % on 10,000 test images."
        parts.append(Part(network, text, header, rows))
        if not any(store.scores(longer_jobs(), "clean")):
            continue  # has not been run
        rows = [row(store, network, b, v, False, True) for b in BITS for v in VARIANTS]
        controls = [control(network, seed) for seed in SEEDS]
        text = (
            f"{LONGER_SAMPLES:,} images, {LONGER['epochs']} epochs, from labels. The float "
            "network trained on as long, without levels: "
            f"{cell(of(store.scores(controls, 'clean')))}."
        )
        parts.append(Part(f"{network}, longer training", text, header, rows))
    text = TEXT.format(
        samples=SAMPLES, epochs=RECIPE["epochs"], rate=RECIPE["learning_rate"], chips=20
    )
    title = "N multipliers [NM Tables 1, 2]"
    text += f" {counted(store, main_jobs() + more_jobs() + longer_jobs())}"
    write_page("n-multipliers", title, "nm nm-more nm-longer", text, parts)

"""[GDQ] Tables 4 and 5: a detection and a segmentation network at 3, 4 and 8 levels."""

from __future__ import annotations

from dataclasses import replace

from tests.training_tables import networks
from tests.training_tables.gdq_jobs import DELTA, LEVELS, METHODS, Method, control
from tests.training_tables.gdq_jobs import job as gdq_job
from tests.training_tables.jobs import SEEDS, Job, Store
from tests.training_tables.pages import Part, constant, counted, write_page
from tests.training_tables.stats import cell, difference, gap_cell, of

NETWORKS = {"detection": "GDQ Table 4", "segmentation": "GDQ Table 5"}
TRAINED: tuple[Method, ...] = ("quantized", "noisy")
SAMPLES = 6_000
#: The loss is the user's: that of labels.
OWN = {"loss": "auto", "epochs": 2}
LONGER_EPOCHS = 12

TEXT = """\
[GDQ] Tables 4 and 5 on scenes of Fashion-MNIST items: a single-shot detector (mAP at an overlap
of 0.5) and a small U-Net (mean intersection over union). One Lloyd codebook a layer, every layer
quantized; target and noise as in [gdq-classification](gdq-classification.md). Training:
{samples:,} scenes, {epochs} epochs or as many as the rows say, with delta = {delta:.0%}; the
losses are the users' own, given through the API. Every chip scores the same {test} test scenes.
Gap: float minus quantized [point].
"""


def cells(network: str, levels: int, method: Method, *, longer: bool = False) -> list[Job]:
    """Return the fine-tunings of one cell, one a seed."""
    own = {**OWN, "epochs": LONGER_EPOCHS} if longer else OWN
    found = []
    for seed in SEEDS[:1] if method == "quantized" else SEEDS:
        job = gdq_job(network, levels, method, seed)
        training = job.training and {**job.training, **own}
        evaluations = tuple(e for e in job.evaluations if e.name in ("clean", "noise-1"))
        found.append(replace(job, training=training, evaluations=evaluations, samples=SAMPLES))
    return found


def jobs() -> list[Job]:
    """Return all fine-tunings of the page."""
    return [
        job
        for network in NETWORKS
        for levels in LEVELS
        for method in TRAINED
        for job in cells(network, levels, method)
    ]


def controls(network: str) -> list[Job]:
    """Return the float network trained on as long as longer training is, without levels."""
    own = {**OWN, "epochs": LONGER_EPOCHS}
    found = [control(network, seed) for seed in SEEDS]
    return [replace(j, training={**(j.training or {}), **own}, samples=SAMPLES) for j in found]


def longer_jobs() -> list[Job]:
    """Return the fine-tunings of longer training."""
    found: list[Job] = []
    for network in NETWORKS:
        for levels in LEVELS:
            found += cells(network, levels, "noisy", longer=True)
        found += controls(network)
    return found


def row(
    store: Store, network: str, levels: int, method: Method, *, longer: bool = False
) -> list[str]:
    """Return metric and gap, without and with 1 % noise."""
    epochs = LONGER_EPOCHS if longer else OWN["epochs"]
    trained = "" if method == "quantized" else f", {epochs} epochs"
    found = [str(levels), f"{METHODS[method]}{trained}"]
    base = networks.float_score(network)
    for evaluation in ("clean", "noise-1"):
        scores = store.scores(cells(network, levels, method, longer=longer), evaluation)
        found += [cell(of(scores)), gap_cell(difference(constant(base, scores), scores))]
    return found


def write(store: Store) -> None:
    """Write the page."""
    parts = []
    for network, told in NETWORKS.items():
        unit, _ = networks.shown(network)
        rows = []
        for levels in LEVELS:
            rows += [row(store, network, levels, m) for m in TRAINED]
            if any(store.scores(cells(network, levels, "noisy", longer=True), "clean")):
                rows.append(row(store, network, levels, "noisy", longer=True))
        header = ["levels", "method", f"no noise: {unit}", "gap", f"1 % noise: {unit}", "gap"]
        text = f"Float: {networks.float_score(network):.2f}"
        later = store.scores(controls(network), "clean")
        if any(later):
            text += f"; trained on for {LONGER_EPOCHS} epochs without levels: {cell(of(later))}"
        text += "."
        parts.append(Part(f"{network} [{told}]", text, header, rows))
    text = TEXT.format(
        samples=SAMPLES, epochs=OWN["epochs"], delta=DELTA, test=networks.TEST_DENSE
    )
    title = "Lloyd levels and noise-aware training: detection and segmentation [GDQ Tables 4, 5]"
    write_page(
        "gdq-dense",
        title,
        "dense dense-longer",
        f"{text}{counted(store, jobs() + longer_jobs())}",
        parts,
    )

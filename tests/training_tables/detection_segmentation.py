"""[GDQ] Tables 4 and 5: a detection and a segmentation network at 3, 4 and 8 levels."""

from __future__ import annotations

from dataclasses import replace

from tests.training_tables import networks
from tests.training_tables.gdq_jobs import DELTA, LEVELS, METHODS, Method
from tests.training_tables.gdq_jobs import job as gdq_job
from tests.training_tables.jobs import SEEDS, Job, Store
from tests.training_tables.pages import Part, constant, counted, write_page
from tests.training_tables.stats import cell, difference, gap_cell, of

NETWORKS = {"detection": "GDQ Table 4", "segmentation": "GDQ Table 5"}
TRAINED: tuple[Method, ...] = ("quantized", "noisy")
SAMPLES = 6_000
#: The loss is the user's: that of labels.
OWN = {"loss": "auto", "epochs": 2}

TEXT = """\
[GDQ] Tables 4 and 5 on scenes of Fashion-MNIST items: a single-shot detector (mAP at an overlap
of 0.5) and a small U-Net (mean intersection over union). One Lloyd codebook a layer, every layer
quantized; target and noise as in [gdq-classification](gdq-classification.md). Training:
{samples:,} scenes, {epochs} epochs, with delta = {delta:.0%}; the losses are the users' own, given
through the API. Every chip scores the same {test} test scenes. Gap: float minus quantized [point].
"""


def cells(network: str, levels: int, method: Method) -> list[Job]:
    """Return the fine-tunings of one cell, one a seed."""
    found = []
    for seed in SEEDS[:1] if method == "quantized" else SEEDS:
        job = gdq_job(network, levels, method, seed)
        training = job.training and {**job.training, **OWN}
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


def row(store: Store, network: str, levels: int, method: Method) -> list[str]:
    """Return metric and gap, without and with 1 % noise."""
    found = [str(levels), METHODS[method]]
    base = networks.float_score(network)
    for evaluation in ("clean", "noise-1"):
        scores = store.scores(cells(network, levels, method), evaluation)
        found += [cell(of(scores)), gap_cell(difference(constant(base, scores), scores))]
    return found


def write(store: Store) -> None:
    """Write the page."""
    parts = []
    for network, told in NETWORKS.items():
        unit, _ = networks.shown(network)
        rows = [row(store, network, levels, m) for levels in LEVELS for m in TRAINED]
        header = ["levels", "method", f"no noise: {unit}", "gap", f"1 % noise: {unit}", "gap"]
        text = f"Float: {networks.float_score(network):.2f}."
        parts.append(Part(f"{network} [{told}]", text, header, rows))
    text = TEXT.format(
        samples=SAMPLES, epochs=OWN["epochs"], delta=DELTA, test=networks.TEST_DENSE
    )
    title = "Lloyd levels and noise-aware training: detection and segmentation [GDQ Tables 4, 5]"
    write_page("gdq-dense", title, "dense", f"{text}{counted(store, jobs())}", parts)

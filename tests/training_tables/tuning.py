"""Learning rates tried, on validation samples and with a seed that no table has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from tests.training_tables import gdq_jobs, nm, ste
from tests.training_tables.jobs import Job, Store
from tests.training_tables.pages import Part, write_page

SEED: Final = 99
#: Candidates, the same for all methods of a table.
RATES: Final = {"gdq": (3e-4, 1e-3, 3e-3), "ste": (3e-4, 1e-3), "nm": (3e-4, 1e-3)}

TEXT = """\
Learning rates, and whether to learn from labels or from the float network, were chosen on the
validation samples of one network each, with a seed of their own ({seed}) and its own chips. All
methods of a table have the same settings: the rate at which the methods of the table do best
together. Before that, shorter runs were looked at, also on validation samples: vgg8 at 3 levels
without noise (rates of 3e-5 to 1e-3, labels and distillation), and on the whole chip at level 3
(1e-3 and 3e-3). Four runs that only showed that the machinery works were scored on test samples
(resnet8, in no table, and vgglike); nothing was chosen by them. How many samples and epochs there
are was chosen by time, not by result. Figures are those of one fine-tuning and 20 chips."""


def _validated(job: Job, **changes: Any) -> Job:
    """Return a job that is scored on validation samples, with some settings of its training."""
    training = None if job.training is None else {**job.training, **changes}
    return replace(job, training=training, split="validation")


def listed() -> list[tuple[str, Job]]:
    """Return the table that each job chooses a setting of."""
    found = []
    for rate in RATES["gdq"]:
        for levels in (3, 8):
            tried = gdq_jobs.job("vgglike", levels, "noisy", SEED)
            found.append(("gdq", _validated(tried, learning_rate=rate, loss="distillation")))
    tried = gdq_jobs.job("vgglike", 3, "noisy", SEED)
    found.append(("gdq", _validated(tried, learning_rate=1e-3, loss="cross-entropy")))
    found += [
        ("ste", _validated(ste.job("vgg8", method, 3, SEED), learning_rate=rate))
        for rate in RATES["ste"]
        for method in ste.METHODS
    ]
    found += [
        ("nm", _validated(nm.job("resnet18", 3, variant, SEED), learning_rate=rate))
        for rate in RATES["nm"]
        for variant in nm.VARIANTS
    ]
    return found


def jobs() -> list[Job]:
    """Return all fine-tunings of the page."""
    return [job for _, job in listed()]


def row(store: Store, table: str, job: Job) -> list[str]:
    """Return one candidate with its scores."""
    found = store.get(job)
    scores = {} if found is None else found["means"]
    assert job.training is not None
    shown = ("noise", "levels", "loss", "learning_rate", "epochs")
    return [
        table,
        job.network,
        str(job.options.get("levels", job.changes.get("slices.count", ""))),
        ", ".join(f"{key} {job.training[key]}" for key in shown if key in job.training),
        f"{job.samples:,}",
        ", ".join(f"{name} {value:.2f}" for name, value in scores.items()) or "missing",
    ]


def write(store: Store) -> None:
    """Write the page."""
    header = ["table", "network", "levels or bits", "settings", "samples", "validation top-1 [%]"]
    rows = [row(store, table, job) for table, job in listed()]
    title = "Settings of the fine-tunings, as chosen"
    part = Part("", "", header, rows)
    write_page("training-settings", title, "tuning", TEXT.format(seed=SEED), [part], reading=False)

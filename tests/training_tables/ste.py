"""[STE] Table II: training with the whole device against training without, by noise level."""

from __future__ import annotations

from typing import Any, Final, Literal

from tests.training_tables import networks
from tests.training_tables.jobs import SEEDS, Evaluation, Job, Store
from tests.training_tables.pages import Part, counted, write_page
from tests.training_tables.stats import cell, difference, estimate, gap_cell, of
from tests.training_tables.work import MATCHED

Method = Literal["baseline", "gaussian", "device"]

NETWORKS: Final = ("resnet20", "vgg8", "gpt", "resnet18", "vgg11", "bert")
LEVELS: Final = (1, 2, 3)
METHODS: Final[dict[Method, str]] = {
    "baseline": "without noise",
    "gaussian": "Gaussian noise",
    "device": "STE, whole device",
}
#: Standard deviation of ln G at level 1 [-].
SIGMA_LOG: Final = 0.1
#: The paper's own differences, STE minus baseline, by network and level.
PAPER: Final = {
    "vgg8": (1.43, 1.99, 2.75), "vgg11": (3.20, 4.50, 5.30), "resnet20": (2.57, 2.65, 3.02),
    "resnet18": (3.58, 1.98, 2.56), "bert": (-0.31, -0.33, -0.24), "gpt": (-0.51, -0.50, -0.72),
}  # fmt: skip
NOISE: Final[dict[Method, dict[str, Any]]] = {
    "baseline": {"noise": "none"},
    "gaussian": {"noise": "gaussian", "delta": MATCHED},
    "device": {"noise": "device"},
}
RECIPE: Final[dict[str, Any]] = {
    "epochs": 2,
    "batch": 128,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "validation": 0.0,
}
SAMPLES: Final = {"gpt": 4_000, "bert": 4_000}
SAMPLES_OTHERS: Final = 8_000

TEXT = """\
[STE] Table II on Fashion-MNIST and characters of Shakespeare, at reduced width. The chip
(tests/training_tables/ste.yaml) has every row of the paper's Table I but IR drop: 8-bit DACs and
ADCs with noise of half an LSB, a sinh I-V curve, lognormal programming noise, 2 % read noise, 310
K with both conduction mechanisms, one day of drift with a global compensation; 16 Lloyd levels a
layer. **A level is the standard deviation of ln G of a write: {base:g} times the level**; the
paper does not say what its levels are. Methods, all with the same samples, steps, learning rate
and the same quantized levels in the forward pass: *without noise*; *Gaussian noise* N(0, delta
|W|max), differentiable, everything else exact, delta such that its mean square over all weights is
that of the chip's writes; *STE*: the whole chip in the forward pass, programmed anew every step.
Training: {others:,} images or {characters:,} windows of 64 characters, {epochs} epochs, Adam,
learning rate {rate:g} to 0, batch {batch}. Classifiers: top-1 [%]; GPT and BERT: perplexity (of
masked characters for BERT), less is better. Figures are of 5,000 test images or 2,000 windows."""


def lognormal(level: int) -> dict[str, object]:
    """Return the noise of a level as a change of the target."""
    return {"noise.programming": {"sigma_log": round(SIGMA_LOG * level, 6)}}


def job(network: str, method: Method, level: int, seed: int) -> Job:
    """Return one fine-tuning; that of the baseline is the same at every level."""
    trained = 1 if method == "baseline" else level
    seen = LEVELS if method == "baseline" else (level,)
    return Job(
        network,
        "ste",
        lognormal(trained),
        {"levels": 16, "quantizer": "lloyd", "per_column": False},
        {**RECIPE, **NOISE[method]},
        SAMPLES.get(network, SAMPLES_OTHERS),
        tuple(Evaluation(f"level-{n}", lognormal(n), samples=5000) for n in seen),
        seed=seed,
    )


def cells(network: str, method: Method, level: int) -> list[Job]:
    """Return the fine-tunings of one cell, one a seed."""
    return [job(network, method, level, seed) for seed in SEEDS]


def main_jobs() -> list[Job]:
    """Return the fine-tunings that are run first, those of high levels before others."""
    return [
        job
        for level in (3, 1, 2)
        for network in NETWORKS
        if level != 2 or network not in SAMPLES
        for method in METHODS
        for job in cells(network, method, level)
    ]


def more_jobs() -> list[Job]:
    """Return those of characters at level 2."""
    return [job for n in SAMPLES for method in METHODS for job in cells(n, method, 2)]


def row(store: Store, network: str, level: int) -> list[str]:
    """Return one row: the three methods and the differences."""
    name = f"level-{level}"
    scores = {m: store.scores(cells(network, m, level), name) for m in METHODS}
    paper = PAPER[network][level - 1]
    ahead = difference(scores["device"], scores["baseline"])
    told = ""
    if ahead is not None:
        better = ahead.mean if networks.shown(network)[1] else -ahead.mean
        surely = "" if ahead.verdict == "open" else ", surely"
        told = ("better" if better > 0 else "worse") + surely
        told += ", by the paper's margin" if better >= abs(paper) else ", by less than the paper"
    return [
        network,
        str(level),
        *(cell(of(scores[m])) for m in METHODS),
        gap_cell(ahead),
        gap_cell(difference(scores["device"], scores["gaussian"])),
        f"{paper:+.2f}",
        told,
    ]


def pooled(store: Store, level: int, against: Method) -> list[str]:
    """Return the mean over the classifiers of STE minus another method, by seed."""
    classifiers = [n for n in NETWORKS if networks.shown(n)[1]]
    by_seed = []
    for k in range(len(SEEDS)):
        found = []
        for network in classifiers:
            name = f"level-{level}"
            first = store.scores([cells(network, "device", level)[k]], name)
            second = store.scores([cells(network, against, level)[k]], name)
            found.append(difference(first, second))
        if all(e is not None for e in found):
            by_seed.append(sum(e.mean for e in found if e is not None) / len(found))
    return [str(level), METHODS[against], gap_cell(estimate(by_seed))]


def deltas(store: Store) -> str:
    """Return which deltas the Gaussian noise had."""
    said = []
    for level in LEVELS:
        jobs = [job for n in NETWORKS for job in cells(n, "gaussian", level)]
        found = [row["delta"] for job in jobs if (row := store.get(job)) is not None]
        if found:
            said.append(f"{100 * min(found):.1f} to {100 * max(found):.1f} % at level {level}")
    return f"Matched deltas, by network: {'; '.join(said)}."


def floats() -> str:
    """Return what the float networks reach."""
    figures = [f"{name} {networks.float_score(name):.2f}" for name in NETWORKS]
    return f"Float networks: {', '.join(figures)}."


def write(store: Store) -> None:
    """Write the page."""
    header = ["network", "level", *METHODS.values(), "STE against without noise",
              "STE against Gaussian", "paper: STE against its baseline", ""]  # fmt: skip
    rows = [row(store, network, level) for network in NETWORKS for level in LEVELS]
    text = TEXT.format(
        base=SIGMA_LOG, others=SAMPLES_OTHERS, characters=SAMPLES["gpt"],
        epochs=RECIPE["epochs"], rate=RECIPE["learning_rate"], batch=RECIPE["batch"],
    )  # fmt: skip
    means = [pooled(store, level, m) for level in LEVELS for m in ("baseline", "gaussian")]
    parts = [
        Part("", f"{floats()} {deltas(store)}", header, rows),
        Part(
            "Mean over the four classifiers",
            "STE minus the other method, averaged over networks, then compared over seeds.",
            ["level", "against", "difference [point]"],
            means,
        ),
    ]
    title = "Straight-through estimation through the device [STE Table II]"
    text += f" {counted(store, main_jobs() + more_jobs())}"
    write_page("ste-table-2", title, "ste ste-more", text, parts)

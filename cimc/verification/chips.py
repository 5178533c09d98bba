"""Draw chips one after the other, until there are enough or the gate is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cimc.program.model import DeviceProgram
from cimc.verification.batches import Feed
from cimc.verification.effects import Selection
from cimc.verification.gates import Decider, Decision, Estimate, Gate
from cimc.verification.intervals import Interval, chips_needed
from cimc.verification.measured_chips import sources_of
from cimc.verification.options import Options, Progress, silent
from cimc.verification.scoring import Baseline, Runner, Score, score


@dataclass(frozen=True, slots=True)
class Drawn:
    """Chips that were drawn, and what they say.

    Attributes:
        scores: One a chip, in the order of seeds.
        values: The metric of each.
        interval: Over chips.
        decision: Of the gate; ``undecided`` without one.
        warnings: What the user should know.
    """

    scores: tuple[Score, ...]
    values: tuple[float, ...]
    interval: Interval
    decision: Decision
    warnings: tuple[str, ...] = ()

    @staticmethod
    def single(result: Score, baseline: Baseline, gate: Gate | None) -> Drawn:
        """Return one run without randomness as a certain result."""
        value = result.get(baseline.metric)
        interval = Interval(value, value, "exact")
        decision: Decision = "undecided" if gate is None else gate.decide(interval)
        return Drawn((result,), (value,), interval, decision)


def draw_chips(
    chip: Runner,
    feeds: Sequence[Feed],
    baseline: Baseline,
    options: Options,
    gate: Gate | None,
    *,
    random: bool,
    progress: Progress = silent,
) -> Drawn:
    """Run chip after chip until there are enough, or the gate is decided.

    Args:
        chip: The program on any chip.
        feeds: The data.
        baseline: What to compare with.
        options: Number of chips, seed, confidence, quantile.
        gate: What has to be reached.
        random: Chips differ; otherwise one says all.
        progress: Told the share of chips run.
    """
    metric = baseline.metric
    if not random:
        return Drawn.single(score(chip.chip(options.seed), feeds, baseline), baseline, gate)
    estimate = Estimate(
        options.confidence,
        options.quantile,
        bounded=metric != "snr_db",
        normal=options.sequence == "normal",
        resolution=0.0 if baseline.decisions is None else 1.0 / baseline.decisions.size,
    )
    decider = Decider(estimate, gate)
    scores: list[Score] = []
    measured = len(sources_of(options.measured))
    count = measured if measured > 1 else options.chips
    for i in range(count):
        one = chip.chip(options.seed + i)
        scores.append(score(one, feeds, baseline, _told(progress, i, count)))
        if decider.update(scores[-1].get(metric)):
            break
    decision = decider.finish()
    progress("chips", 1.0)
    warnings = _too_few(options, decider.interval, len(scores))
    values = tuple(s.get(metric) for s in scores)
    return Drawn(tuple(scores), values, decider.interval, decision, warnings)


def _told(progress: Progress, chip: int, count: int) -> Callable[[float], None]:
    """Return what tells the share of all chips from that of one."""
    progress("chips", chip / count)
    return lambda share: progress("chips", (chip + share) / count)


def varies(program: DeviceProgram, options: Options, selection: Selection) -> bool:
    """Return whether two chips, or two inferences of one, can differ.

    One measured chip is the same whenever its reads do not fluctuate.
    """
    if not program.layers:
        return False
    measured = len(sources_of(options.measured))
    if measured > 1:
        return True
    return selection.fluctuates if measured else selection.random


def _too_few(options: Options, interval: Interval, chips: int) -> tuple[str, ...]:
    if interval.low is not None:
        return ()
    if options.quantile is None:
        return ("a single chip gives no confidence interval",) if chips < 2 else ()
    split_error = (1.0 + options.confidence) / 2 if options.gated else options.confidence
    needed = chips_needed(options.quantile, split_error)
    return (
        f"{chips} chips cannot bound the {options.quantile:g} quantile from below; "
        f"at least {needed} can",
    )

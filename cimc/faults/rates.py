"""What faults chips are to have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from cimc.errors import UsageError

Spread = Literal["uniform", "loguniform"]
Distribution = Literal["normal", "lognormal"]

#: Widest cluster [cells]: what a cluster can reach is worked out cell by cell.
MAX_RADIUS = 256.0


@dataclass(frozen=True, slots=True)
class Clusters:
    """Faulty cells that lie together: a Neyman-Scott process.

    Centres are drawn independently (Poisson); each has a Poisson number of hits, which fall on
    the cells of a disc around it, all alike.  A cell hit once or more is faulty.  There are as
    many centres as the rate asks for, hits on the same cell counted in.

    Attributes:
        share: Of the faulty cells, those in clusters, in [0, 1] [-].
        cells: Mean number of hits of a centre [-].
        radius: Of the disc [cells].
    """

    share: float = 1.0
    cells: float = 8.0
    radius: float = 2.5

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            UsageError: ``CIMC-U02``.
        """
        within("share of clustered cells", self.share, 0.0 <= self.share <= 1.0, "0 to 1")
        within("cells of a cluster", self.cells, 0.0 < self.cells <= 1e6, "above 0, at most 1e6")
        within(
            "radius of a cluster",
            self.radius,
            0.0 <= self.radius <= MAX_RADIUS,
            f"0 to {MAX_RADIUS:g}",
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of faults, each the probability that a cell or a line has it.

    Attributes:
        rate: Of single and clustered faulty cells together [-].
        lrs_share: Of faulty cells and lines, those stuck at G_max [-].
        conductance_share: Of them, those stuck at a conductance of their own [-]; the others are
            stuck at G_min.
        conductance_us: Range of those conductances; None: from G_min to G_max [uS].
        spread: Of the conductances over that range: even, or even in the logarithm.
        clusters: How faulty cells lie together; None: each on its own.
        row_rate: Word lines whose cells are all stuck alike [-].
        column_rate: Bit lines, likewise.
        sigma_lrs: Standard deviation of the factor of the highest state ([NM Eq. 12]) [-]; 0: no
            gains are drawn.
        sigma_hrs: The same of the lowest state.
        distribution: Of the factors, whose mean is 1; no factor is below 0.
    """

    rate: float = 0.0
    lrs_share: float = 0.5
    conductance_share: float = 0.0
    conductance_us: tuple[float, float] | None = None
    spread: Spread = "uniform"
    clusters: Clusters | None = None
    row_rate: float = 0.0
    column_rate: float = 0.0
    sigma_lrs: float = 0.0
    sigma_hrs: float = 0.0
    distribution: Distribution = "normal"

    @classmethod
    def of_states(
        cls, at_g_min: float, at_g_max: float, at_conductance: float = 0.0, **others: Any
    ) -> Self:
        """Return the rates where the rate of each state is given.

        Args:
            at_g_min: Of cells stuck at G_min [-].
            at_g_max: Of cells stuck at G_max [-].
            at_conductance: Of cells stuck at a conductance of their own [-].
            others: All but ``rate`` and the shares.

        Raises:
            UsageError: ``CIMC-U02``, one is out of range.
        """
        given = {"at_g_min": at_g_min, "at_g_max": at_g_max, "at_conductance": at_conductance}
        for name, value in given.items():
            within(name, value, 0.0 <= value <= 1.0, "0 to 1 (a share, not percent)")
        rate = sum(given.values())
        within("rate of all states together", rate, rate <= 1.0, "up to 1")
        if rate == 0.0:
            return cls(**others)
        return cls(
            rate=rate,
            lrs_share=at_g_max / rate,
            conductance_share=at_conductance / rate,
            **others,
        )

    @property
    def expected(self) -> float:
        """Share of cells that are faulty on average, those on broken lines included [-]."""
        return 1.0 - (1.0 - self.rate) * (1.0 - self.row_rate) * (1.0 - self.column_rate)

    @property
    def clustered(self) -> float:
        """Probability that a cell is hit by a cluster [-]."""
        return 0.0 if self.clusters is None else self.clusters.share * self.rate

    @property
    def single(self) -> float:
        """Probability that a cell is faulty on its own, so that both together are ``rate``."""
        if self.clustered >= self.rate:
            return 0.0
        return 1.0 - (1.0 - self.rate) / (1.0 - self.clustered)

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            UsageError: ``CIMC-U02``.
        """
        for name in ("rate", "lrs_share", "conductance_share", "row_rate", "column_rate"):
            value = getattr(self, name)
            within(name, value, 0.0 <= value <= 1.0, "0 to 1 (a share, not percent)")
        both = self.lrs_share + self.conductance_share
        within("LRS and conductance share together", both, both <= 1.0 + 1e-12, "up to 1")
        for name in ("sigma_lrs", "sigma_hrs"):
            within(name, getattr(self, name), 0.0 <= getattr(self, name) <= 10.0, "0 to 10")
        within("spread", self.spread, self.spread in ("uniform", "loguniform"), "uniform")
        known = self.distribution in ("normal", "lognormal")
        within("distribution", self.distribution, known, "normal or lognormal")
        if self.conductance_us is not None:
            low, high = self.conductance_us
            good = 0.0 <= low <= high < float("inf") and not (
                self.spread == "loguniform" and low == 0
            )
            within("conductance_us", self.conductance_us, good, "LOW..HIGH in uS, LOW first")
        if self.clusters is not None:
            self.clusters.check()
            full = self.clustered >= 1.0
            within("rate of clustered cells", self.clustered, not full, "below 1")


def within(name: str, value: object, holds: bool, allowed: str) -> None:
    """Raise the usage error of an option unless its value is allowed.

    Raises:
        UsageError: ``CIMC-U02``.
    """
    if not holds:
        raise UsageError(
            "CIMC-U02",
            f"{name.replace('_', ' ')} {value} is out of range",
            hint=f"a value {allowed}",
        )

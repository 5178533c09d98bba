"""Train a program for the chip it is recompiled for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cimc.errors import UsageError
from cimc.faults import FaultMap
from cimc.ir.network import Network
from cimc.passbase import Progress, silent
from cimc.pipeline.options import Options
from cimc.pipeline.report import TrainingReport
from cimc.pipeline.training_options import SECTION, check_with_target
from cimc.pipeline.training_result import notes_of, report_of
from cimc.pipeline.training_run import TrainingRequest, TrainingRun
from cimc.quantizers.periphery.fit import Method
from cimc.targets import Target
from cimc.training.chip_recipe import check_recipe
from cimc.training.for_chip import train_for_chip
from cimc.training.reachable_levels import Use
from cimc.training.recipe import Recipe
from cimc.training.weights_back import SourceWeights

#: What a recipe for recompiling may hold; the rest is of compiling.
_KEYS = (SECTION, "seed")


@dataclass(frozen=True, slots=True)
class Trained:
    """A network trained for a chip, and what there is to say of it.

    Attributes:
        network: With cells, weights and converter ranges.
        report: Of the training.
        notes: What the user should know.
        provenance: What the program says of it.
    """

    network: Network
    report: TrainingReport
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChipTraining:
    """How recompiling trains.

    Attributes:
        request: Data, checkpoints, device.
        recipe: Settings.
    """

    request: TrainingRequest
    recipe: Recipe

    @classmethod
    def of(
        cls,
        request: TrainingRequest,
        recipe: Mapping[str, Any] | str | Path | None,
        training: Mapping[str, Any] | Recipe | None,
        target: Target,
        *,
        output: str | Path | None,
        seed: int | None = None,
    ) -> ChipTraining | None:
        """Return it; None where nothing is trained.

        Args:
            request: What the call says.
            recipe: Options by name, or a YAML file, of which the section ``training`` counts.
            training: Settings that win over those of the recipe.
            target: The device.
            output: Where the program is written: checkpoints lie beside it.
            seed: That of training where nothing else is said.

        Raises:
            UsageError: CIMC-U41, CIMC-U42, CIMC-U54 to CIMC-U59, as compiling; CIMC-U71,
                CIMC-U72, settings that cannot be with a known chip; CIMC-U73, the recipe has
                options of compiling.
        """
        options = Options.gather(recipe, training=training, seed=seed)
        usual = Options(training=options.training, seed=options.seed)
        if options != usual:
            raise UsageError(
                "CIMC-U73",
                "a recipe for recompiling has options of compiling",
                where=str(recipe) if isinstance(recipe, str | Path) else "the recipe",
                hint="a recipe with " + " and ".join(_KEYS) + " only",
            )
        request.check(options, output)
        if request.data is None:
            return None
        found = options.training or Recipe(seed=options.seed)
        sliced = "n-multiplier" if target.encoding == "bit-sliced" else "lloyd"
        check_with_target(found, target, sliced, 2)
        check_recipe(found, chip=True)
        return cls(request, found)

    def run(
        self,
        network: Network,
        target: Target,
        faults: FaultMap,
        *,
        use: Use,
        method: Method,
        output: str | Path | None,
        progress: Progress = silent,
    ) -> Trained:
        """Train a network that was put on a chip.

        Args:
            network: As the remapper leaves it.
            target: The device.
            faults: Of the chip.
            use: What cells may hold.
            method: How converter ranges are found.
            output: Where the program is written.
            progress: Told what is being done and the share done.

        Raises:
            ModelError: The data do not fit the network, or it cannot be trained; see
                :func:`cimc.training.loop.fit`.
        """
        options = Options(training=self.recipe, seed=self.recipe.seed)
        run = TrainingRun.of(self.request, network, options, output, calibrates=False)
        assert run is not None, "there are data"
        trained = train_for_chip(
            network,
            target,
            faults,
            run.training,
            use=use,
            method=method,
            progress=lambda what, share: progress(what.replace("fine-tune", "train", 1), share),
        )
        notes = notes_of(run, SourceWeights({}, ()))
        return Trained(trained, report_of(run, trained), notes, run.provenance())

    def done(self, output: str | Path | None) -> None:
        """Remove checkpoints that nobody asked to keep: the program is written."""
        self.request.clean(output)

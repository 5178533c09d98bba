"""How a network is fine-tuned: every setting, with what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Keep = Literal["best", "last"]
Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine", "step"]
Loss = Literal["auto", "cross-entropy", "distillation"]
Noise = Literal["device", "gaussian", "none"]
Gradient = Literal["straight-through", "no-grad", "detached", "full"]
Quantization = Literal["straight-through", "regularized"]
LevelsLearned = Literal["fixed", "step", "multipliers"]
FaultMethod = Literal["reachable", "nearest-valid", "validity"]
Variability = Literal["measured", "ignore"]


@dataclass(frozen=True, slots=True)
class FaultTraining:
    """How the stuck cells of one chip enter its training [NM §3.6].

    Attributes:
        method: ``reachable``: in every step each weight is quantized to the nearest value that
            its own cells can reach; ``nearest-valid``: training knows nothing of faults, and every
            ``snap_every`` epochs weights with stuck cells are replaced by their nearest valid
            values (Hanif & Shafique 2023, as [NM §3.6] emulates it); ``validity``: the same, and
            the quantization loss draws weights to values they can reach [NM Eq. 11].
        snap_every: Weights with stuck cells are replaced by their nearest valid values every so
            many epochs [-]; 0: never.  None: 4 as the paper has it, 0 with ``reachable``, where
            no step leaves them.
        delta: Delta of [NM Eq. 11], what a value costs that cannot be reached, relative to the
            square of the largest weight the layer's cells can hold [-].
    """

    method: FaultMethod = "reachable"
    snap_every: int | None = None
    delta: float = 4.0

    @property
    def period(self) -> int:
        """Epochs from one replacement to the next [-]; 0: none."""
        if self.snap_every is not None:
            return self.snap_every
        return 0 if self.method == "reachable" else 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a fine-tuning run; the keys of the section ``training`` of a recipe.

    Attributes:
        epochs: Passes over the training data [-].
        batch: Samples of a step, over all processes [-].
        optimizer: ``adam``, ``adamw`` or ``sgd``.
        learning_rate: Of weights, biases and the like.
        rates: ``absolute``, or ``relative``: a step is times the root mean square, at the start,
            of the weight's output column (of the whole parameter, where it is no weight on
            crossbars). With folded BatchNorms weights of one network differ by orders of
            magnitude.
        momentum: Of ``sgd`` [-].
        weight_decay: As the optimizer takes it.
        schedule: ``constant``; ``cosine`` to 0 over all steps; ``step``: times ``gamma`` at each
            epoch of ``milestones``.
        milestones: Epochs, ascending.
        gamma: Factor of ``step`` [-].
        clip_norm: Largest norm of all gradients together; 0: not clipped.
        loss: ``cross-entropy`` with labels; ``distillation`` from the float network's outputs:
            Kullback-Leibler divergence of class scores (what labels fit, probabilities and their
            logarithms), relative mean square error of anything else; ``auto``: cross-entropy
            where there are labels, distillation where there are none.
        output: Name of the output the loss is of; '': the first floating-point one, with
            distillation all of them.
        temperature: Of distillation [-].
        layer_weight: Weight of the mean square error, relative to the mean square, of each
            crossbar layer's output to the float network's [-]; 0: not computed.
        train: ``all`` parameters, or ``analog``: weights on crossbars only.
        noise: What the forward pass of a crossbar layer is: ``device``: the complete device model
            of the target [STE §III]; ``gaussian``: ``N(0, delta |W|max)`` added to each quantized
            weight, everything else exact and differentiable [GDQ Eq. 6]; ``none``.
        effects: With ``device``: only these non-idealities, names as in
            ``cimc.targets.compatibility.SWITCHES``; None: all the target describes.
        delta: With ``gaussian``: spread, relative to a layer's largest magnitude [-].
        gradient: Through the device [STE Table III]: ``straight-through``: the clean operation's,
            of inputs as the converter clips them, its forward never computed; ``no-grad``: the
            same, with the clean output computed and the device's difference to it added
            [STE Alg. 1]; ``detached``: as before, with the device's graph built and cut off;
            ``full``: through the device model.
        warm_up_epochs: First epochs without noise (with quantization) [-].
        quantization: ``straight-through``: the forward pass has quantized weights [GDQ Alg. 1];
            ``regularized``: it has float weights that a loss draws to levels [NM Eq. 6].
        levels: Of levels that are sums of multipliers: ``fixed``; learned ``step``: in proportion
            [NM Eq. 3]; learned ``multipliers`` [NM Eq. 4].
        threshold: T of the projection test [GDQ Alg. 1]: levels are fitted again when
            ``|r - 1| > T`` [-].  The paper has 0.1 and 1.5; at 0.1 the few weights of a column
            pass it by chance, and every new fit costs accuracy.
        level_learning_rate: Of step sizes, multipliers and offsets, relative to the largest level.
        lambda_start: Weight of the quantization loss to begin with [NM §4] [-].
        lambda_end: At the end; it grows exponentially over the last ``lambda_epochs`` [-].
        lambda_epochs: [-]; 0: a tenth of all epochs, at least 1.
        activation_bits: Resolution inputs of crossbar layers are trained for, LSQ, 2 to 8 and at
            most the DAC's [bit]; 0: the DAC's, ranges not learned.
        first_last_bits: The same for the first and the last crossbar layer [bit]; 0: the DAC's.
        refit_epochs: Converter ranges are fitted again every so many epochs [-]; 0: never.
        validation: Share of the training data held out for evaluation [-].
        validation_chips: Chips of an evaluation [-].
        keep: The network that is returned: ``best`` evaluation, the one before training included,
            or ``last`` epoch; ``best`` needs validation data and is ``last`` without.
        checkpoint_steps: Steps between checkpoints [-]; 0: one an epoch.
        seed: Of order, chips and everything drawn.
        faults: How stuck cells of the one chip that is compiled for enter training.
        variability: Where device-to-device variation of that chip was measured: ``measured``:
            weights are chosen from the values that its cells really have [NM Eq. 12]; ``ignore``:
            from those of nominal cells.
    """

    epochs: int = 3
    batch: int = 64
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    rates: Literal["absolute", "relative"] = "absolute"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Schedule = "cosine"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    clip_norm: float = 5.0
    loss: Loss = "auto"
    output: str = ""
    temperature: float = 1.0
    layer_weight: float = 0.0
    train: Literal["all", "analog"] = "all"
    noise: Noise = "device"
    effects: tuple[str, ...] | None = None
    delta: float = 0.02
    gradient: Gradient = "straight-through"
    warm_up_epochs: int = 0
    quantization: Quantization = "straight-through"
    levels: LevelsLearned = "fixed"
    threshold: float = 0.5
    level_learning_rate: float = 1e-3
    lambda_start: float = 100.0
    lambda_end: float = 2000.0
    lambda_epochs: int = 0
    activation_bits: int = 0
    first_last_bits: int = 0
    refit_epochs: int = 1
    validation: float = 0.1
    validation_chips: int = 3
    keep: Keep = "best"
    checkpoint_steps: int = 0
    seed: int = 0
    faults: FaultTraining = FaultTraining()
    variability: Variability = "measured"

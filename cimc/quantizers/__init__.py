"""Fit levels to weights, and weights to levels: pure functions on numpy and torch arrays."""

from cimc.quantizers.codes import boundaries, encode, encode_columns
from cimc.quantizers.columns import ColumnsResult, lloyd_columns
from cimc.quantizers.constrained import ConstrainedResult, constrained, pair_differences
from cimc.quantizers.lloyd import LloydResult, lloyd
from cimc.quantizers.n_multiplier import NMultiplierResult, n_multiplier, n_multiplier_columns
from cimc.quantizers.outputs import (
    OutputFit,
    bias_correction,
    centered,
    fit_outputs,
    retarget,
)
from cimc.quantizers.prior import fit_without_data, prior_moment
from cimc.quantizers.refit import refit, refit_scale
from cimc.quantizers.uniform import UniformResult, uniform, uniform_columns

__all__ = [
    "ColumnsResult",
    "ConstrainedResult",
    "LloydResult",
    "NMultiplierResult",
    "OutputFit",
    "UniformResult",
    "bias_correction",
    "boundaries",
    "centered",
    "constrained",
    "encode",
    "encode_columns",
    "fit_outputs",
    "fit_without_data",
    "lloyd",
    "lloyd_columns",
    "n_multiplier",
    "n_multiplier_columns",
    "pair_differences",
    "prior_moment",
    "refit",
    "refit_scale",
    "retarget",
    "uniform",
    "uniform_columns",
]

"""Fit levels to weights, and weights to levels: pure functions on numpy and torch arrays."""

from cimc.quantizers.codes import boundaries, encode, encode_columns
from cimc.quantizers.lloyd import LloydResult, lloyd

__all__ = ["LloydResult", "boundaries", "encode", "encode_columns", "lloyd"]

"""Fault maps: which cells of one chip cannot be programmed, and how the others vary."""

"""Compile around the faults of one chip: what its cells can still reach, and the best of that."""

"""A compiler from trained networks to analog compute-in-memory chips."""

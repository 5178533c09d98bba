"""The device program: its record, and how it is written, read and checked."""

from cimc.program.reader import read
from cimc.program.writer import write

__all__ = ["read", "write"]

"""The command line: arguments in, exit code out, no compiler logic.

Nothing heavier than click is imported before a command runs, so that ``cimc --help`` is quick.
"""

from cimc.cli.root import main

__all__ = ["main"]

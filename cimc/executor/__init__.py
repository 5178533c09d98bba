"""The reference executor: runs a device program as a chip would, or exactly."""

from cimc.executor.executor import Executor, RunResult

__all__ = ["Executor", "RunResult"]

"""Measurements against the bars: ``python -m tests.benchmarks [--only NAME] [--write]``.

One module a measurement, with a function ``measure() -> Result``; :data:`BENCHMARKS` lists them.
They run real users' work through the public API, each beside what it is compared with.
"""

#: Name on the command line to module, in the order they run.
BENCHMARKS: dict[str, str] = {
    "help": "tests.benchmarks.command_help",
    "lloyd": "tests.benchmarks.bench_lloyd",
    "linear-512": "tests.benchmarks.linear_512",
    "executor-resnet20": "tests.benchmarks.executor_resnet20",
    "executor-resnet20-read-noise": "tests.benchmarks.read_noise",
    "bit-serial": "tests.benchmarks.bit_serial",
    "train-step": "tests.benchmarks.train_step",
    "ste-vs-full-gradient": "tests.benchmarks.ste_vs_full_gradient",
    "ir-drop": "tests.benchmarks.ir_drop",
    "compile-resnet50": "tests.benchmarks.compile_resnet50",
    "recompile": "tests.benchmarks.recompile",
    "compile-2gb": "tests.benchmarks.compile_2gb",
}

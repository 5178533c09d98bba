"""Write docs/results/onnx-conformance.md: ``python -m tests.conformance.report``."""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import onnx
import onnxruntime

from tests.conformance.cases import Case, frozen_cases, node_cases
from tests.conformance.reference import disagreement
from tests.conformance.verdicts import Verdict, judge

PAGE = Path(__file__).resolve().parents[2] / "docs/results/onnx-conformance.md"
KINDS = ("native", "opaque", "refused", "wrong")
MEANING = {
    "native": "right natively",
    "opaque": "right through an opaque operator",
    "refused": "refused with a clear error",
    "wrong": "wrong",
}


def main() -> int:
    """Run every case and write the page; exit 1 when a case is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=PAGE)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    plain = [judge(case) for case in _counted(node_cases(), "node cases")]
    frozen = [judge(case) for case in _counted(tuple(frozen_cases()), "frozen cases")]
    differing = [
        (case, problem)
        for case in _counted(node_cases(), "onnxruntime")
        if (problem := disagreement(case))
    ]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(page(plain, frozen, differing), encoding="utf-8")
    sys.stderr.write(f"wrote {arguments.output}\n")
    return int(any(verdict.kind == "wrong" for verdict in (*plain, *frozen)))


def page(plain: list[Verdict], frozen: list[Verdict], differing: list[tuple[Case, str]]) -> str:
    """Return the page as Markdown."""
    by_case = {verdict.case: verdict for verdict in plain}
    lines = [
        "# ONNX conformance",
        "",
        f"The node cases of onnx {onnx.__version__} (`onnx.backend.test`), each taken the whole "
        "way: import, every pass, device program for the target `ideal`, written to disk, read "
        "back, run by the executor.  The expected output of the case is the oracle, with the "
        "tolerances of the onnx backend test; shapes and element types must be equal.  Generated "
        "by `python -m tests.conformance.report`.",
        "",
        *_table("All cases", plain),
        *_table("Cases with only float32 inputs and outputs", [v for v in plain if v.float_only]),
        *_table("Weight-carrying operators, weights frozen to initializers", frozen),
        f"{sum(v.crossbars > 0 for v in frozen)} of the {len(frozen)} frozen cases have crossbar "
        "layers.",
        "",
        "## Refused",
        "",
        *_refused(plain + frozen),
        "",
        "## Where onnxruntime disagrees with the expected output",
        "",
        f"onnxruntime {onnxruntime.__version__} on the model of the case alone.",
        "",
        "| case | onnxruntime | cimc |",
        "|---|---|---|",
    ]
    for case, problem in differing:
        lines.append(f"| {case.name} | {problem} | {MEANING[by_case[case.name].kind]} |")
    wrong = [v for v in (*plain, *frozen) if v.kind == "wrong"]
    if wrong:
        lines += ["", "## Wrong", "", "| case | what |", "|---|---|"]
        lines += [f"| {v.case} | {_cell(v.reason)} |" for v in wrong]
    return "\n".join(lines) + "\n"


def _table(title: str, verdicts: list[Verdict]) -> list[str]:
    counts = Counter(verdict.kind for verdict in verdicts)
    total = max(len(verdicts), 1)
    rows = [f"| {MEANING[k]} | {counts[k]} | {counts[k] / total:.1%} |" for k in KINDS]
    return [
        f"## {title}",
        "",
        "| | cases | share |",
        "|---|---|---|",
        *rows,
        f"| **right** | **{counts['native'] + counts['opaque']}** "
        f"| **{(counts['native'] + counts['opaque']) / total:.1%}** |",
        f"| all | {len(verdicts)} | |",
        "",
    ]


def _refused(verdicts: list[Verdict]) -> list[str]:
    """Return one row for each reason, with its cases."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for verdict in verdicts:
        if verdict.kind == "refused":
            text = re.sub(r"(value|with node name) '[^']*'", r"\1 ...", verdict.reason)
            reasons.setdefault((verdict.operator, verdict.code, text), []).append(verdict.case)
    rows = ["| operator | error | reason | cases |", "|---|---|---|---|"]
    for (operator, code, text), cases in sorted(reasons.items()):
        listed = ", ".join(sorted(cases)[:3]) + (
            f" and {len(cases) - 3} more" if cases[3:] else ""
        )
        rows.append(f"| {operator} | [{code}](../errors/{code}.md) | {_cell(text)} | {listed} |")
    return rows


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _counted(cases: tuple[Case, ...], what: str) -> Iterable[Case]:
    """Yield the cases and say on standard error how far it is."""
    for number, case in enumerate(cases):
        if number % 100 == 0:
            sys.stderr.write(f"{what}: {number} of {len(cases)}\n")
        yield case


if __name__ == "__main__":
    sys.exit(main())

"""The page of results says what the verdicts say."""

from __future__ import annotations

from tests.conformance.cases import node_cases
from tests.conformance.reference import disagreement
from tests.conformance.report import page
from tests.conformance.verdicts import Verdict


def test_counts_shares_and_reasons():
    first, second = node_cases()[:2]
    plain = [
        Verdict(first.name, "Abs", "native", True),
        Verdict(second.name, "Abs", "opaque", True),
        Verdict("c", "Loop", "refused", False, reason="no | kernel", code="CIMC-M32"),
        Verdict("d", "If", "wrong", False, reason="shape"),
    ]
    frozen = [Verdict("e", "Conv", "native", True, crossbars=1)]
    text = page(plain, frozen, [(first, "values differ")])
    assert "| **right** | **2** | **50.0%** |" in text
    assert "| **right** | **2** | **100.0%** |" in text
    assert "1 of the 1 frozen cases have crossbar layers." in text
    assert "| Loop | [CIMC-M32](../errors/CIMC-M32.md) | no \\| kernel | c |" in text
    assert f"| {first.name} | values differ | right natively |" in text
    assert "## Wrong" in text


def test_onnxruntime_is_compared_with_the_case():
    by_name = {case.name: case for case in node_cases()}
    assert disagreement(by_name["test_relu"]) == ""
    assert disagreement(by_name["test_image_decoder_decode_bmp_rgb"]) is None
    assert disagreement(by_name["test_dft"])

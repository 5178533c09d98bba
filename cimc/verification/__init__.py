"""Verification: what accuracy chips will have, and how sure that is."""

from cimc.verification.data import check_data, load_data
from cimc.verification.report import VerifyReport
from cimc.verification.verify import verify

__all__ = ["VerifyReport", "check_data", "load_data", "verify"]

"""What every test shares: one torch thread a worker; skipping where a network is not to be had."""

from __future__ import annotations

import os
from collections.abc import Generator

# Before torch starts: two workers with two threads each would fight over two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from tests.zoo.cache import MissingError

hypothesis.settings.register_profile("cimc", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("cimc")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Skip, with its reason, a test that needs a network or data that is not here."""
    del item
    try:
        return (yield)
    except MissingError as reason:
        pytest.skip(str(reason))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    """Skip likewise when a fixture finds that something is not here."""
    try:
        return (yield)
    except MissingError as reason:
        pytest.skip(str(reason))

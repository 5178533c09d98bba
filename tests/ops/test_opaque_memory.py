"""The soft limit on memory."""

from __future__ import annotations

import resource
import threading

import pytest
import torch

from cimc.ops.opaque_memory import bounded_memory


def limit():
    return resource.getrlimit(resource.RLIMIT_AS)[0]


def test_a_large_allocation_fails_inside_and_works_outside():
    with bounded_memory(64), pytest.raises((RuntimeError, MemoryError)):
        torch.empty(1 << 30, dtype=torch.uint8)
    assert torch.empty(1 << 28, dtype=torch.uint8).numel() == 1 << 28


def test_the_limit_is_restored_after_an_error():
    before = limit()
    with pytest.raises(KeyError), bounded_memory(64):
        raise KeyError
    assert limit() == before


def test_an_inner_block_can_only_lower_the_limit():
    with bounded_memory(512):
        outer = limit()
        with bounded_memory(1 << 20):
            assert limit() == outer
        with bounded_memory(1):
            assert limit() < outer
        assert limit() == outer


def test_threads_share_the_most_generous_limit():
    before, seen = limit(), []
    inside, leave = threading.Event(), threading.Event()

    def other():
        with bounded_memory(4096):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with bounded_memory(64):
        seen.append(limit())
    generous = limit()
    leave.set()
    thread.join()
    assert seen == [generous]
    assert limit() == before

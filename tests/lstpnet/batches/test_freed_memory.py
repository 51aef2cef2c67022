"""A process keeps what it frees while it computes on a CPU, and gives it back at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lstpnet.batches import freed_memory as module
from lstpnet.batches.freed_memory import freed_memory

CPU = torch.device("cpu")
FAULTS = """
import contextlib, resource, torch
from lstpnet.batches.freed_memory import freed_memory

def num_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(32 << 20)  # 128 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

torch.set_num_threads(1)
first = num_faults()
with freed_memory(torch.device("cpu")) as keep:
    with freed_memory(torch.device("cpu")) as keep_too:
        keep_too()
        keep()
        for _ in range(4):  # until small blocks no longer divide the freed ones
            num_faults()
    kept, held = num_faults(), held_mib()
after = num_faults()
print(first, kept, after, held - held_mib())
"""
glibc_only = pytest.mark.skipif(module._glibc() is None, reason="needs Linux with glibc")


def outcome(environment: dict[str, str]) -> list[int]:
    names = ("MALLOC_", "GLIBC_TUNABLES")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, env=plain | environment, cwd=root, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@glibc_only
def test_blocks_are_taken_again_without_a_page_fault_until_the_end() -> None:
    first, kept, after, returned_mib = outcome({})
    assert kept < first / 20
    assert after > first / 4
    assert returned_mib > 100


@glibc_only
def test_an_environment_that_sets_the_allocator_is_left_alone() -> None:
    first, kept, *_ = outcome({"MALLOC_MMAP_THRESHOLD_": "1000000"})
    assert kept > first / 4


@pytest.mark.parametrize(
    ("device", "is_kept", "free_bytes"),
    [("cpu", True, 1 << 20), ("cpu", False, 1 << 50), ("meta", True, 1 << 50)],
)
def test_without_room_or_elsewhere_nothing_changes(
    device: str, is_kept: bool, free_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "free_host_bytes", lambda: free_bytes)
    with freed_memory(torch.device(device), is_kept=is_kept) as keep:
        keep()
        assert module._num_keeping == 0
    monkeypatch.setattr(module, "_glibc", lambda: None)
    with freed_memory(CPU) as keep:
        keep()
        assert module._num_keeping == 0

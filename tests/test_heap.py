"""Heap and garbage collector settings, each in a process of its own, as they cannot be undone."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import resource, torch
from persam_video.runtime.heap import keep_freed_memory
{}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(10_000_000).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def faults(call: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(call)], capture_output=True, text=True, check=True)
    return int(done.stdout)


needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")


@needs_glibc
def test_freed_memory_is_kept() -> None:
    # 40 MB, 20 times: without it, a fault for each page, be they of 4 KB or of 2 MB.
    assert faults("") > 20 * 10
    assert faults("keep_freed_memory()") < 20


@needs_glibc
def test_free_memory_can_be_released() -> None:
    program = """
import psutil, torch
from persam_video.runtime.heap import release_free_memory, keep_freed_memory
keep_freed_memory()
resident = psutil.Process().memory_info
before = resident().rss
torch.ones(20_000_000)
kept = resident().rss - before
release_free_memory()
print(kept, resident().rss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 75e6
    assert left < 20e6


def test_garbage_is_collected_rarely_and_not_at_exit() -> None:
    program = """
import atexit, gc
from persam_video.runtime.heap import collect_garbage_rarely
atexit.register(lambda: print(gc.get_freeze_count() > 1000))  # functions registered later run before
phases = []
gc.callbacks.append(lambda phase, info: phases.append(phase))
{}
kept = [[] for _ in range(50_000)]
print(len(phases))
"""

    def output(call: str) -> list[str]:
        done = subprocess.run([sys.executable, "-c", program.format(call)], capture_output=True, text=True, check=True)
        return done.stdout.split()

    collections, frozen = output("")
    assert int(collections) > 10
    assert frozen == "False"
    assert output("collect_garbage_rarely()") == ["0", "True"]

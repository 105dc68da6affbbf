"""Memory that is free: whether the C library keeps it for what comes next, and how often Python looks for it."""

from __future__ import annotations

import atexit
import ctypes
import gc
import platform
from functools import lru_cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST = 1 << 30
_SELDOM = 100_000


def keep_freed_memory() -> None:
    """Keep what is freed instead of giving it back to the system, for the whole process.

    An encoder on a CPU allocates and frees the same tens of megabytes some hundred times a frame. By default glibc asks
    the system for each of them, which must clear every page: a quarter of the encoder's time. Kept, the process stays
    as large as it was at its largest. It does nothing where the C library is not glibc. `persam-track` and the other
    commands do this when they begin; a program that uses this package may.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_ARENA_MAX, 1)  # other arenas are too small for large blocks
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST - 1)


@lru_cache(maxsize=1)
def collect_garbage_rarely() -> None:
    """Let Python look for cyclic garbage once in many thousand new objects, for the whole process.

    By default it goes through everything again and again while torch's hundreds of thousands of objects are made, and
    at the end once more, when nothing needs to be freed any more: more than a second in all. Tracking makes hardly any
    such garbage.
    """
    gc.set_threshold(_SELDOM)
    atexit.register(gc.freeze)


def release_free_memory() -> None:
    """Give all that is free back to the system, once; the next frame asks for it again.

    Done now and then, it keeps a process from growing over many thousand frames as its heap is fragmented.
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@lru_cache(maxsize=1)
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
